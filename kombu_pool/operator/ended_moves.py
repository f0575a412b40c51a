"""Moves of queues that are over, for as long as the catalogue has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kombu_pool.model import ACTIVE
from kombu_pool.moves import MOVED

if TYPE_CHECKING:
    from kombu_pool.model import Project
    from kombu_pool.moves import Move
    from kombu_pool.pooling import DataDriver


@dataclass(frozen=True)
class EndedMove:
    """A move that is over; ``ended`` is None if it was ended before the source was empty.

    ``mode`` is "copy" or "drain". ``since`` is the time of its plan, and ``copied`` counts messages.
    """

    queue: str
    source: str
    target: str
    mode: str
    copied: int
    since: float
    ended: float | None


def list_ended_moves(store: DataDriver, project: Project) -> list[EndedMove]:
    """Return the moves of the project's queues that are over, the last one first.

    The catalogue keeps a queue's last move until what it left in the source is deleted, for ten minutes or more.
    """
    found = [
        _ended(queue, assigned.move)
        for of, queue, assigned in store.catalog.moves.all()
        if of == project and assigned.state == ACTIVE and assigned.move is not None and assigned.move.phase == MOVED
    ]
    return sorted(found, key=lambda each: (-(each.ended or each.since), each.queue))


def _ended(queue: str, move: Move) -> EndedMove:
    ended = next((one.ended for one in move.tombstones if one.incarnation == move.sealed), None)
    mode = "copy" if move.copies else "drain"
    return EndedMove(queue, move.source, move.target, mode, move.copied, move.started, ended)
