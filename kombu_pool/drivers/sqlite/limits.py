"""The limits of a queue's length: which posts are refused, and which messages make room.

Only free messages count, and each check counts them. A stored count would be one more write for every message that
comes or goes, in all queues.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.drivers.sqlite.states import CHUNK, advance_chunk, mark_dead, remove
from kombu_pool.storage.dead_letters import DeadLetterReason

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from kombu_pool.drivers.sqlite.times import Now
    from kombu_pool.storage.policy import Policy
    from kombu_pool.storage.validation import ValidMessage

_SQL = statements("limits")
_LENGTH, _SIZE, _FIRST_FREE = _SQL["length"], _SQL["size"], _SQL["first_free"]


def admits(
    connection: sqlite3.Connection, queue: int, policy: Policy, messages: Sequence[ValidMessage], now: Now
) -> bool:
    """Advance the queue, and return whether its limits admit all of the messages."""
    advance_chunk(connection, queue, now)
    if not policy.rejects_overflow:
        return True
    sizes = [len(each.record) for each in messages if not (policy.delay if each.delay is None else each.delay)]
    if not sizes:
        return True
    length, size = _measure(connection, queue, policy, now.wall)
    return policy.fits(length + len(sizes), size + sum(sizes))


def make_room(connection: sqlite3.Connection, queue: int, policy: Policy, wall: float, posted: int = 0) -> int:
    """Remove the first free messages of a queue that is too long: at most ``CHUNK`` and as many as were just posted.

    Returns:
        How many; if ``CHUNK`` or more, the queue may still be too long.
    """
    if policy.rejects_overflow:
        return 0
    length, size = _measure(connection, queue, policy, wall)
    if policy.fits(length, size):
        return 0
    excess: list[tuple[int, int, float | None]] = []
    for number, rank, record in connection.execute(_FIRST_FREE, (queue, wall, CHUNK + posted)).fetchall():
        if policy.fits(length - len(excess), size):
            break
        excess.append((number, rank, None))
        size -= record
    if policy.has_dlq:
        mark_dead(connection, queue, excess, DeadLetterReason.MAX_LENGTH)
    else:
        remove(connection, queue, excess)
    return len(excess)


def _measure(connection: sqlite3.Connection, queue: int, policy: Policy, wall: float) -> tuple[int, int]:
    measured: tuple[int, int] = connection.execute(
        _SIZE if policy.max_length_bytes else _LENGTH, (queue, wall)
    ).fetchone()
    return measured
