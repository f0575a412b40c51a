"""The messages of a move, batch by batch from the source to the target."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kombu_pool import errors

if TYPE_CHECKING:
    from kombu_pool.model import Project
    from kombu_pool.moves import Move
    from kombu_pool.pooling.pool_handle import PoolHandle
    from kombu_pool.storage import MoveController


def copy_batches(
    source: PoolHandle,
    target: PoolHandle,
    queue: str,
    project: Project,
    move: Move,
    *,
    delayed: bool,
    until: float,
) -> tuple[int, bool] | None:
    """Copy batches up to a point in monotonic time; return how many messages, and whether none is left.

    None: another process has taken the move over, or the queue is gone.
    """
    copied = 0
    try:
        with target:
            last = moves_of(target).set_epoch(queue, project, incarnation=move.opened, epoch=move.epoch)
        with source:
            moves_of(source).remove(queue, last, project, incarnation=move.sealed)
        while True:
            with source:
                batch = moves_of(source).take(queue, project, incarnation=move.sealed, delayed=delayed)
            if not batch:
                return copied, True
            with target:
                moves_of(target).store(queue, batch, project, incarnation=move.opened, epoch=move.epoch)
            with source:
                ids = [message.id for message in batch]
                moves_of(source).remove(queue, ids, project, incarnation=move.sealed)
            copied += len(batch)
            if time.monotonic() >= until:
                return copied, False
    except (errors.MoveSuperseded, errors.QueueDoesNotExist):
        return None


def moves_of(pool: PoolHandle) -> MoveController:
    """Return what an open pool does for moves."""
    assert pool.driver is not None  # noqa: S101 - OpenPools.get() opens it or raises
    return pool.driver.move_controller
