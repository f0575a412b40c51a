"""Brings messages into the state that the time gives them: due or no longer claimed ones are free, expired ones gone.

What expired is dead instead in a queue that buries it.

Each transaction moves a bounded number of messages and each message once, so that nobody waits long for the lock
however much has fallen due at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.policy import policy_of

if TYPE_CHECKING:
    import sqlite3

    from kombu_pool.drivers.sqlite.database import Database

CLAIMS = statements("claims")
_DUE, _ENDED, _EXPIRED = CLAIMS["due"], CLAIMS["ended"], CLAIMS["expired"]
_RELEASE, _GIVE_BACK, _END = CLAIMS["release"], CLAIMS["give_back"], CLAIMS["end"]
_FREE = statements("messages")["free"]
_DELETION = statements("deletion")
_DIE = statements("burying")["die"]

CHUNK = 500
_CLAIMS_AT_ONCE = 20


def settle(database: Database, queue: int, now: float, most: int | None = None) -> None:
    """Settle all of a queue, in at most ``most`` transactions."""
    more = True
    while more and most != 0:
        with database.write as connection:
            more = settle_some(connection, queue, now)[1]
        most = most and most - 1


def settle_some(connection: sqlite3.Connection, queue: int, now: float) -> tuple[int, bool]:
    """Settle a bounded part of a queue within a transaction; return how many rows went, and whether there is more."""
    due = free_due(connection, queue, now)
    ended = free_ended(connection, queue, now)
    expired = sweep(connection, queue, now)
    return ended + expired, due >= CHUNK or expired >= CHUNK or ended >= _CLAIMS_AT_ONCE


def free_due(connection: sqlite3.Connection, queue: int, now: float) -> int:
    """Free some delayed messages that are due."""
    rows = connection.execute(_DUE, (queue, now, CHUNK)).fetchall()
    if rows:
        connection.executemany(_FREE, [(queue, rank, number, expires) for _, number, rank, expires in rows])
        connection.executemany(_DELETION["delayed"], [(queue, due, number) for due, number, _, _ in rows])
    return len(rows)


def free_ended(connection: sqlite3.Connection, queue: int, now: float) -> int:
    """Free the messages of some claims that have ended."""
    claims = connection.execute(_ENDED, (queue, now, _CLAIMS_AT_ONCE)).fetchall()
    for (claim,) in claims:
        end_claim(connection, claim, last=claim)
    return len(claims)


def end_claim(connection: sqlite3.Connection, claim: int, last: int | None) -> int:
    """End a claim and free what it holds, naming ``last`` as the claim that held it; return how much that was."""
    connection.execute(_RELEASE, (last, claim))
    freed = connection.execute(_GIVE_BACK, (claim,)).rowcount
    connection.execute(_END, (claim,))
    return freed


def sweep(connection: sqlite3.Connection, queue: int, now: float) -> int:
    """Delete some messages that have expired, or let them be dead, and return how many.

    A claimed one has outlived its claim, and so is free by now, unless more claims ended than are freed at once.
    """
    rows = connection.execute(_EXPIRED, (queue, now, CHUNK)).fetchall()
    if rows and _buries_expired(connection, queue):
        rows = connection.execute(CLAIMS["buried_expired"], (queue, now, CHUNK)).fetchall()
        die(connection, queue, rows, DeadLetterReason.EXPIRED)
    else:
        remove(connection, queue, rows)
    return len(rows)


def _buries_expired(connection: sqlite3.Connection, queue: int) -> bool:
    found = connection.execute(CLAIMS["metadata"], (queue,)).fetchone()
    return found is not None and policy_of(found[0]).expires_to_dlq


def die(connection: sqlite3.Connection, queue: int, rows: list[tuple[int, int, float | None]], reason: str) -> None:
    """Let messages that no claim holds be dead, each given as (id, rank, due)."""
    connection.executemany(_DIE, [(reason, number) for number, _, _ in rows])
    remove(connection, queue, rows)


def remove(connection: sqlite3.Connection, queue: int, rows: list[tuple[int, int, float | None]]) -> None:
    """Delete messages, each given as (id, rank, due), whatever their state."""
    if not rows:
        return
    numbers = [(number,) for number, _, _ in rows]
    connection.executemany(_DELETION["free"], [(queue, rank, number) for number, rank, _ in rows])
    delayed = [(queue, due, number) for number, _, due in rows if due is not None]
    if delayed:
        connection.executemany(_DELETION["delayed"], delayed)
    connection.executemany(_DELETION["claimed"], numbers)
    connection.executemany(_DELETION["message"], numbers)
