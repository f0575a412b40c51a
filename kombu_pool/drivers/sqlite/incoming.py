"""What a message to post must look like, and the rows that it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kombu_pool import records
from kombu_pool.drivers.sqlite.policy import write
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import InvalidMessage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from kombu_pool.drivers.sqlite.policy import Policy

_SQL = statements("messages")
_STORE, _FREE, _DELAY = _SQL["store"], _SQL["free"], _SQL["delay"]

#: Longer than anybody waits, and short enough to be added to a time.
LONGEST = 10**10
HIGHEST_PRIORITY = 255
#: A message that is due within this is news for those who wait; they look for later ones by themselves.
SOON = 2.0


@dataclass
class Incoming:
    """A message that can be stored; ``ttl`` 0 is for ever, ``delay`` None leaves it to the queue."""

    __slots__ = ("dead_letter", "delay", "rank", "record", "ttl")

    record: bytes
    ttl: float
    delay: float | None
    rank: int
    dead_letter: bytes | None


def check(message: Any, max_size: int) -> Incoming:
    """Return the message if it can be stored.

    Raises:
        InvalidMessage: it cannot; one of its kin if its body cannot.
    """
    try:
        given = message.get
    except AttributeError:
        raise InvalidMessage(f"a message is a dict with a ttl and a body, not {message!r}") from None
    ttl, delay, priority, dead_letter = given("ttl"), given("delay"), given("priority"), given("dead_letter")
    return Incoming(
        records.encode(given("body", {}), max_size),
        _seconds("ttl", ttl) if ttl else 0,
        None if delay is None else _seconds("delay", delay),
        -_priority(priority) if priority else 0,
        None if dead_letter is None else write(dead_letter),
    )


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= LONGEST:
        return value
    raise InvalidMessage(f"{name} is a number of seconds from 0 to {LONGEST}, not {value!r}")


def _priority(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= HIGHEST_PRIORITY:
        return value
    raise InvalidMessage(f"priority is a whole number from 0 to {HIGHEST_PRIORITY}, not {value!r}")


def next_number(last: int | None, now: float) -> int:
    """Return the first id after ``last`` that is not before ``now``, in microseconds: an id is never used again."""
    number = int(now * 1_000_000)
    return number if last is None or last < number else last + 1


def store(
    connection: sqlite3.Connection,
    queue: int,
    policy: Policy,
    messages: Sequence[Incoming],
    first: int,
    now: float,
    client: str | None,
) -> bool:
    """Store messages under ids from ``first`` on; return whether one of them can be claimed soon."""
    rows: list[tuple[Any, ...]] = []
    free: list[tuple[Any, ...]] = []
    delayed: list[tuple[Any, ...]] = []
    soon = False
    for number, message in enumerate(messages, first):
        ttl = message.ttl
        if policy.ttl is not None and (not ttl or ttl > policy.ttl):
            ttl = policy.ttl
        expires = now + ttl if ttl else None
        delay = policy.delay if message.delay is None else message.delay
        due = now + delay if delay else None
        soon = soon or delay < SOON
        if due is None:
            free.append((queue, message.rank, number, expires))
        else:
            delayed.append((queue, due, number, message.rank, expires))
        rows.append((number, queue, message.rank, now, ttl, expires, due, client, message.dead_letter, message.record))
    _insert(connection, rows, free, delayed)
    return soon


def _insert(connection: sqlite3.Connection, rows: list[Any], free: list[Any], delayed: list[Any]) -> None:
    if len(rows) == 1 and free:
        connection.execute(_STORE, rows[0])
        connection.execute(_FREE, free[0])
        return
    connection.executemany(_STORE, rows)
    if free:
        connection.executemany(_FREE, free)
    if delayed:
        connection.executemany(_DELAY, delayed)
