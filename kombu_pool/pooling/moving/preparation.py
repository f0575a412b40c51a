"""The queue that a move has prepared in its target: it stays sealed until the source is."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from kombu_pool import errors
from kombu_pool.pooling.moving.assignments import in_target
from kombu_pool.pooling.moving.batches import moves_of

if TYPE_CHECKING:
    from kombu_pool.model import Metadata, Project
    from kombu_pool.moves import Move
    from kombu_pool.pooling.pool_handle import PoolHandle


def open_prepared(target: PoolHandle, queue: str, project: Project, metadata: Metadata, move: Move) -> None:
    """Give the prepared queue the incarnation that the catalogue is about to name, unless it has it already.

    Raises:
        IncarnationConflict: another move has prepared the queue there.
    """
    prepared, opened = in_target(move)
    with suppress(errors.QueueDoesNotExist):
        # Asked first: a queue that the pool has lost must not be created.
        moves_of(target).set_epoch(queue, project, incarnation=prepared, epoch=move.epoch)
        target.queues.create(queue, metadata, project, incarnation=opened, replaces=prepared)
