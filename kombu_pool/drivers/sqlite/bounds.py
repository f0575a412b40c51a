"""How many messages a queue holds at most: who is refused for it, and who makes room.

Only the free messages count, and they are counted anew each time: a count that is kept would have to be written with
every message that comes or goes, in all queues.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.settling import CHUNK, die, remove, settle_some
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.storage.dead_letters import DeadLetterReason

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from kombu_pool.storage.policy import Policy
    from kombu_pool.storage.validation import ValidMessage

_SQL = statements("bounds")
_LENGTH, _SIZE, _HEADS = _SQL["length"], _SQL["size"], _SQL["heads"]


def admits(
    connection: sqlite3.Connection, queue: int, policy: Policy, messages: Sequence[ValidMessage], now: float
) -> bool:
    """Tell whether the queue takes all of the messages; what came back into line by now counts."""
    settle_some(connection, queue, now)
    if not policy.rejects_overflow:
        return True
    sizes = [len(each.record) for each in messages if not (policy.delay if each.delay is None else each.delay)]
    if not sizes:
        return True
    length, size = _measured(connection, queue, policy, now)
    return policy.fits(length + len(sizes), size + sum(sizes))


def make_room(connection: sqlite3.Connection, queue: int, policy: Policy, now: float, posted: int = 0) -> int:
    """Take the first free messages out of a queue that is too long, a bounded number beyond those just posted.

    Returns:
        How many; there may be more to take if it is ``CHUNK`` or more.
    """
    if policy.rejects_overflow:
        return 0
    length, size = _measured(connection, queue, policy, now)
    if policy.fits(length, size):
        return 0
    doomed: list[tuple[int, int, float | None]] = []
    for number, rank, record in connection.execute(_HEADS, (queue, now, CHUNK + posted)).fetchall():
        if policy.fits(length - len(doomed), size):
            break
        doomed.append((number, rank, None))
        size -= record
    if policy.has_dlq:
        die(connection, queue, doomed, DeadLetterReason.MAX_LENGTH)
    else:
        remove(connection, queue, doomed)
    return len(doomed)


def _measured(connection: sqlite3.Connection, queue: int, policy: Policy, now: float) -> tuple[int, int]:
    measured: tuple[int, int] = connection.execute(
        _SIZE if policy.max_length_bytes else _LENGTH, (queue, now)
    ).fetchone()
    return measured
