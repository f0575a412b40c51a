"""Counts the messages of many queues, and lists the claims of one, without a change to the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.records import is_finite
from kombu_pool.drivers.sqlite.codec import claim_id_of, project_key
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.model import QueueCounts
from kombu_pool.storage.inspection import LiveClaim, holder_tag

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from kombu_pool.drivers.sqlite.codec import Row
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.times import Now
    from kombu_pool.model import Project

_SQL = statements("inspection")
_FIND = statements("queues")["find"]


def count_many(
    database: Database, queues: Iterable[tuple[Project, str]], now: Now, limit: int
) -> list[QueueCounts | None]:
    """Return what :meth:`MessageController.count_many` does."""
    counts: list[QueueCounts | None] = []
    for project, name in queues:
        # One transaction for each: a long one would keep the write-ahead log from being truncated.
        with database.read, database.lock, database.begin_read() as connection:
            found = connection.execute(_FIND, (project_key(project), name)).fetchone()
            counts.append(None if found is None else _count(connection, found, now, limit))
    return counts


def _count(connection: sqlite3.Connection, found: Row, now: Now, limit: int) -> QueueCounts:
    """Count the messages of one queue. Some are free although no process has moved them yet."""
    queue, _, _, paused = found
    values: dict[str, Any] = {"queue": queue, "limit": limit, "wall": now.wall, "elapsed": now.elapsed}
    examined, free = connection.execute(_SQL["free"], values).fetchone()
    delays, delayed, due, first_due = connection.execute(_SQL["delayed"], values).fetchone()
    claims, claimed, ended, first_ended = connection.execute(_SQL["claimed"], values).fetchone()
    posted = [
        *connection.execute(_SQL["oldest"], values).fetchone(),
        *(
            connection.execute(_SQL["created"], (number,)).fetchone()[0]
            for number in (first_due, first_ended)
            if number
        ),
    ]
    # By the time, not by the id: messages from other stores have low ids.
    oldest = min(filter(is_finite, posted), default=None)
    age = None if oldest is None else max(0.0, now.wall - oldest)
    is_exact = max(examined, delays, claims) < limit
    return QueueCounts(int(free + due + ended), int(delayed), int(claimed), age, is_exact, bool(paused))


def live_claims(database: Database, project: Project, queue: str, now: Now, limit: int) -> list[LiveClaim]:
    """Return what :meth:`ClaimController.live_claims` does."""
    held: dict[int, list[str]] = {}
    claims: dict[int, Row] = {}
    with database.read, database.lock, database.begin_read() as connection:
        found = connection.execute(_FIND, (project_key(project), queue)).fetchone()
        if found is None:
            return []
        values = {"queue": found[0], "elapsed": now.elapsed, "limit": max(limit, 0)}
        for *claim, message in connection.execute(_SQL["held"], values):
            claims[claim[0]] = tuple(claim)
            held.setdefault(claim[0], []).append(str(message))
        counts = {claim: connection.execute(_SQL["held_count"], (claim,)).fetchone()[0] for claim in claims}
    return [_to_live(row, held[number], counts[number], now) for number, row in claims.items()]


def _to_live(row: Row, message_ids: list[str], count: int, now: Now) -> LiveClaim:
    number, ttl, renewed, holder = row
    tag = None if holder is None else holder_tag(holder)
    return LiveClaim(claim_id_of(number), max(0, int(now.elapsed - renewed)), ttl, message_ids, count, tag)
