"""Begins to empty a pool, and leaves the work to the processes that continue moves."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError
from kombu_pool.operator import moves
from kombu_pool.operator.pool_removal import queues_in, require_another

if TYPE_CHECKING:
    from kombu_pool.model import Pool, Project
    from kombu_pool.pooling import DataDriver


@dataclass(frozen=True)
class DrainStart:
    """The queues of a pool that are moving out of it, with their new pools, and why others are not, by queue.

    ``unasked``: the queues for which the time did not suffice.
    """

    moving: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    unasked: int = 0


def start_drain(store: DataDriver, project: Project, name: str, *, copies: bool, seconds: float) -> DrainStart:
    """Give a pool no new queues, and move those of the project as far as their new pools are open to producers.

    Each goes where a new queue would: to a pool of the same flavor, by weight. After ``seconds`` no other move begins;
    what is left can be drained again.

    Raises:
        PoolDoesNotExist: there is no such pool.
        NotPermitted: no other pool of its flavor takes new queues; nothing was changed.
    """
    ends = time.monotonic() + seconds
    row = store.control.pools_controller.get(name, detailed=True)
    require_another(store, row)
    if row["weight"]:
        store.control.pools_controller.update(name, weight=0)
    moving: dict[str, str] = {}
    left: dict[str, str] = {}
    queues = queues_in(store, project, name)
    for number, queue in enumerate(queues):
        if time.monotonic() >= ends:
            return DrainStart(moving, left, len(queues) - number)
        try:
            moving[queue] = _start(store, project, queue, row, copies=copies)
        except KombuPoolError as error:
            left[queue] = mask(str(error))
    return DrainStart(moving, left)


def _start(store: DataDriver, project: Project, queue: str, row: Pool, *, copies: bool) -> str:
    """Begin the move of a queue out of a pool, unless it has; return where it goes."""
    present = moves.unfinished_move(store, project, queue)
    if present is not None and present.source == row["name"]:
        return present.target
    target = store.catalog.choice.choose(queue, project, row["flavor"], expires=False)
    moves.start_move(store, project, queue, target, copies=copies)
    return target
