"""Stores posted messages as rows."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.model import WAITING
from kombu_pool.storage.idempotency import IdempotencyCache
from kombu_pool.storage.policy import write

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from kombu_pool.model import Uniqueness
    from kombu_pool.storage.policy import Policy
    from kombu_pool.storage.validation import ValidMessage

_SQL = statements("messages")
_STORE, _FREE, _DELAY, _LOWER_EXPIRY = (_SQL[name] for name in ("store", "free", "delay", "lower_expiry"))
_STORE_PLAIN, _FREE_PLAIN = _SQL["store_plain"], _SQL["free_plain"]

#: The two columns of a message that holds no id.
_NOT_UNIQUE = (None, None)
#: What a plain message has in the columns from the expiry on. Binding them takes a tenth of a publish's time.
_LACKING = (None,) * 6
#: The place of the time of its expiry in a row, the first that a plain message lacks.
_EXPIRES = 7

#: Delay in seconds below which a message wakes the watches; they wait for later due times themselves.
SOON = 2.0

#: The posts of this process by path, kept while no driver has the file open; used under the file's lock. They need not
#: be in the file: a post is added with its commit, before anything after that can fail.
idempotency_caches: defaultdict[str, IdempotencyCache] = defaultdict(IdempotencyCache)


def next_number(last: int | None, now: float) -> int:
    """Return the first id after ``last`` that is not before ``now``, in microseconds: ids are never reused."""
    number = int(now * 1_000_000)
    return number if last is None or last < number else last + 1


def store(
    connection: sqlite3.Connection,
    queue: int,
    policy: Policy,
    messages: Sequence[ValidMessage],
    first: int,
    now: float,
    client: str | None,
) -> bool:
    """Store messages under ids from ``first`` on; return whether one of them is claimable within ``SOON``."""
    rows: list[tuple[Any, ...]] = []
    free: list[tuple[Any, ...]] = []
    delayed: list[tuple[Any, ...]] = []
    soon = False
    for number, message in enumerate(messages, first):
        ttl = message.ttl
        delay = policy.delay if message.delay is None else message.delay
        if policy.ttl and (not ttl or ttl > policy.ttl + delay):
            ttl = policy.ttl + delay
        expires = now + ttl if ttl else None
        due = now + delay if delay else None
        soon = soon or delay < SOON
        rank = -message.priority
        if due is None:
            free.append((queue, rank, number, expires))
        else:
            delayed.append((queue, due, number, rank, expires))
        origin = None if message.dead_letter is None else write(message.dead_letter)
        rows.append(
            (
                number,
                queue,
                rank,
                now,
                ttl,
                message.key,
                message.record,
                expires,
                due,
                client,
                origin,
                *(_NOT_UNIQUE if message.unique is None else _unique(message.unique)),
            )
        )
    _insert(connection, rows, free, delayed)
    if policy.expires_to_dlq and any(row[_EXPIRES] is not None for row in rows):
        lower_expiry(connection, queue, min(row[_EXPIRES] for row in rows if row[_EXPIRES] is not None))
    return soon


def _unique(unique: Uniqueness) -> tuple[str | None, bool | None]:
    """Return the id that a message holds until it is removed, and whether until it is claimed only."""
    if not isinstance(unique.scope, str):
        return _NOT_UNIQUE
    return unique.id, unique.scope == WAITING


def lower_expiry(connection: sqlite3.Connection, queue: int, expires: float) -> None:
    """Lower the earliest expiry of a queue that dead-letters expired messages."""
    connection.execute(_LOWER_EXPIRY, (expires, queue))


def _insert(connection: sqlite3.Connection, rows: list[Any], free: list[Any], delayed: list[Any]) -> None:
    if len(rows) == 1 and free:
        row = rows[0]
        if row[_EXPIRES:] == _LACKING:
            connection.execute(_STORE_PLAIN, row[:_EXPIRES])
            connection.execute(_FREE_PLAIN, free[0][:-1])
        else:
            connection.execute(_STORE, row)
            connection.execute(_FREE, free[0])
        return
    connection.executemany(_STORE, rows)
    if free:
        connection.executemany(_FREE, free)
    if delayed:
        connection.executemany(_DELAY, delayed)
