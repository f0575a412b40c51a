"""Advances messages to the state that the time gives them.

Due messages and those of ended claims become free. Expired messages are deleted, or become dead in a queue that
dead-letters them. Each transaction moves a bounded number of messages and each message once, so that no process waits
long for the lock, however many messages fall due at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.policy import policy_of

if TYPE_CHECKING:
    import sqlite3

    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.times import Now

_SQL = statements("states")
_DUE, _ENDED, _EXPIRED = _SQL["due"], _SQL["ended"], _SQL["expired"]
_FREE_CLAIMED, _REMOVE_CLAIMED, _END_CLAIM = _SQL["free_claimed"], _SQL["remove_claimed"], _SQL["end_claim"]
_DELETION = statements("deletion")
_MARK_DEAD = statements("dead_letters")["mark_dead"]

#: Messages of one kind that one transaction moves at most.
CHUNK = 500
#: Ended claims whose messages one transaction frees at most.
_CLAIM_CHUNK = 20


def advance(database: Database, queue: int, now: Now, max_transactions: int | None = None) -> None:
    """Advance all messages of a queue, in at most ``max_transactions`` transactions."""
    more = True
    while more and max_transactions != 0:
        with database.write, database.lock, database.begin_write() as connection:
            more = advance_chunk(connection, queue, now)[1]
        max_transactions = max_transactions and max_transactions - 1


def advance_chunk(connection: sqlite3.Connection, queue: int, now: Now) -> tuple[int, bool]:
    """Advance a bounded part of a queue within a transaction; return how many rows went, and whether more remain."""
    due = _free_due(connection, queue, now)
    ended = _free_ended(connection, queue, now)
    expired = _remove_expired(connection, queue, now)
    return ended + expired, due >= CHUNK or expired >= CHUNK or ended >= _CLAIM_CHUNK


def _free_due(connection: sqlite3.Connection, queue: int, now: Now) -> int:
    rows = connection.execute(_DUE, (queue, now.wall, CHUNK)).fetchall()
    if rows:
        connection.executemany(_SQL["free_due"], [(queue, rank, number, *rest) for _, number, rank, *rest in rows])
        connection.executemany(_DELETION["delayed"], [(queue, due, number) for due, number, *_ in rows])
    return len(rows)


def _free_ended(connection: sqlite3.Connection, queue: int, now: Now) -> int:
    claims = connection.execute(_ENDED, (queue, now.elapsed, _CLAIM_CHUNK)).fetchall()
    for (claim,) in claims:
        end_claim(connection, claim, last_claim=claim)
    return len(claims)


def end_claim(connection: sqlite3.Connection, claim: int, last_claim: int | None) -> int:
    """End a claim and free its messages, with ``last_claim`` as their last claim; return how many they are."""
    connection.execute(_FREE_CLAIMED, (last_claim, claim))
    freed = connection.execute(_REMOVE_CLAIMED, (claim,)).rowcount
    connection.execute(_END_CLAIM, (claim,))
    return freed


def _remove_expired(connection: sqlite3.Connection, queue: int, now: Now) -> int:
    """Delete some expired messages that no claim holds, or mark them dead; return how many.

    A claimed message outlives its claim by the wall clock of the claim's start: after a step of that clock it may have
    expired before.
    """
    rows = connection.execute(_EXPIRED, (queue, now.wall, CHUNK)).fetchall()
    if rows and _expires_to_dlq(connection, queue):
        mark_dead(connection, queue, rows, DeadLetterReason.EXPIRED)
    else:
        remove(connection, queue, rows)
    return len(rows)


def _expires_to_dlq(connection: sqlite3.Connection, queue: int) -> bool:
    found = connection.execute(_SQL["metadata"], (queue,)).fetchone()
    return found is not None and policy_of(found[0]).expires_to_dlq


def mark_dead(
    connection: sqlite3.Connection, queue: int, rows: list[tuple[int, int, float | None]], reason: str
) -> None:
    """Mark messages dead that no claim holds, each given as (id, rank, due)."""
    connection.executemany(_MARK_DEAD, [(reason, number) for number, _, _ in rows])
    remove(connection, queue, rows)


def remove(connection: sqlite3.Connection, queue: int, rows: list[tuple[int, int, float | None]]) -> None:
    """Remove messages in any state, each given as (id, rank, due)."""
    if rows:
        leave_state(connection, queue, rows)
        connection.executemany(_DELETION["message"], [(number,) for number, _, _ in rows])


def leave_state(connection: sqlite3.Connection, queue: int, rows: list[tuple[int, int, float | None]]) -> None:
    """Take messages, each given as (id, rank, due), out of the state that they have; they are in none then."""
    connection.executemany(_DELETION["free"], [(queue, rank, number) for number, rank, _ in rows])
    delayed = [(queue, due, number) for number, _, due in rows if due is not None]
    if delayed:
        connection.executemany(_DELETION["delayed"], delayed)
    connection.executemany(_DELETION["claimed"], [(number,) for number, _, _ in rows])
