"""What the catalogue says of a queue with a move, and what it says next.

A deletion removes each incarnation that a pool may have of the queue. So an assignment names them all: the one that it
has, those of its move, and as tombstones those that it had before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from kombu_pool.model import ACTIVE, CREATING, DELETING
from kombu_pool.moves import COPYING, DRAINING, MOVED, Tombstone
from kombu_pool.storage.moving import new_incarnation, prepared_incarnation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import Assignment
    from kombu_pool.moves import Move


def source_of(found: Assignment) -> tuple[str, str, bool] | None:
    """Return the fields of the :class:`MoveSource` of a queue whose target is open; None if it is not moving so far."""
    move = found.move
    if move is None or found.state != ACTIVE or move.phase not in (COPYING, DRAINING):
        return None
    return move.source, move.sealed, move.phase == COPYING


def in_target(move: Move) -> tuple[str, str]:
    """Return the incarnations that the queue has in the target: sealed until the step that opens it, and then."""
    return prepared_incarnation(move.opened), move.opened


def ended(found: Assignment, now: float) -> Assignment:
    """Return the assignment after the end of a move whose target is not open: as after one back from the target."""
    assert found.move is not None  # noqa: S101 - the caller has seen one
    move, incarnation, state = found.move, found.incarnation, ACTIVE
    left = [*move.tombstones]
    if found.state != ACTIVE:  # The source may be sealed: the queue is opened there as another incarnation.
        incarnation, state = new_incarnation(), CREATING
        left.append(Tombstone(move.source, move.sealed, now))
    # The last ones: dead letters of the target's store may be there, if it was opened, and move back.
    left += [Tombstone(move.target, one, now) for one in in_target(move)]
    back = replace(
        move, source=move.target, sealed=move.opened, target=move.source, opened=incarnation, phase=MOVED,
        tombstones=tuple(left),
    )  # fmt: skip
    return found._replace(incarnation=incarnation, state=state, move=back)


def created_again(found: Assignment, now: float) -> Assignment:
    """Return the assignment of a queue with a move that its pool lost: it gets another incarnation there."""
    assert found.move is not None  # noqa: S101 - the caller has seen one
    incarnation = new_incarnation()
    move = replace(found.move, tombstones=(*found.move.tombstones, Tombstone(found.pool, found.incarnation, now)))
    if move.phase in (COPYING, DRAINING):
        move = replace(move, opened=incarnation)
    return found._replace(incarnation=incarnation, state=CREATING, move=move)


def incarnations(found: Assignment) -> Sequence[tuple[str, str]]:
    """Return (pool, incarnation) of all that pools may have of a queue with a move, the earlier ones first.

    A process that is late may give a pool the next incarnation of the queue, but never an earlier one.
    """
    assert found.move is not None  # noqa: S101 - the caller has seen one
    move = found.move
    left = ((one.pool, one.incarnation) for one in move.tombstones)
    target = ((move.target, one) for one in in_target(move))
    every = (*left, (found.pool, found.incarnation), (move.source, move.sealed), *target)
    return [*dict.fromkeys(every)]


def unnamed(move: Move, found: Assignment | None) -> Sequence[tuple[str, str]]:
    """Return (pool, incarnation) of what a late step of the move may have created, and the assignment has no use for.

    A source that may be sealed is kept as long as the queue is in that pool: a process is about to open it again.
    """
    source, target = (move.source, move.sealed), (move.target, move.opened)
    prepared = [(move.target, one) for one in in_target(move) if one != move.opened]
    if found is None or found.state == DELETING:
        return [source, *prepared, target]
    present = {(found.pool, found.incarnation)}
    if found.move is not None:
        present.add((found.move.target, found.move.opened))
    left = [] if target in present else [*prepared, target]
    is_kept = found.pool == move.source or (found.move is not None and source in incarnations(found))
    return left if is_kept else [source, *left]
