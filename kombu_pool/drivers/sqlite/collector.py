"""Gives space back: expired messages, ended claims, what deleted queues left, and the pages of the file itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.settling import CHUNK, settle_some
from kombu_pool.drivers.sqlite.statements import statements

if TYPE_CHECKING:
    import sqlite3

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.sqlite.database import Database

_SQL = statements("collector")

#: How much one call does at most: rows, seconds for them, and seconds for pages.
_ROWS, _SECONDS, _VACUUM_SECONDS = 10_000, 0.02, 0.05
_QUEUES_AT_ONCE = 20
#: The file shrinks when more pages than this, and than this part of it, are unused.
_UNUSED_PAGES, _UNUSED_PART = 1000, 0.25
_PAGES_AT_ONCE = 256


class Collector:
    """Does a bounded part of the work in each call."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def collect(self) -> int:
        """Collect some of what is no longer of use; return how many rows went."""
        until = time.monotonic() + _SECONDS
        total = 0
        for step in (self._collect_expired, self.collect_deleted, self._collect_subscriptions):
            while total < _ROWS and time.monotonic() < until:
                rows = step()
                total += rows
                if not rows:
                    break
        self._shrink()
        self._cut_log()
        return total

    def _collect_expired(self) -> int:
        database, now = self._database, self._clock.time()
        queues = {
            queue
            for subject in ("expired_queues", "ended_claims")
            for (queue,) in database.rows(_SQL[subject], (now, _QUEUES_AT_ONCE))
        }
        total = 0
        for queue in queues:
            with database.write as connection:
                total += settle_some(connection, queue, now)[0]
        return total

    def _collect_subscriptions(self) -> int:
        with self._database.write as connection:
            return connection.execute(_SQL["expired_subscriptions"], (self._clock.time(), CHUNK)).rowcount

    def collect_deleted(self) -> int:
        """Collect some rows of a deleted queue; return how many."""
        if self._database.row(_SQL["deleted"]) is None:
            return 0
        with self._database.write as connection:
            found = connection.execute(_SQL["deleted"]).fetchone()
            return _empty(connection, found[0]) if found else 0

    def _shrink(self) -> None:
        """Give unused pages back to the file system, a few at a time so that writers get their turn."""
        until = time.monotonic() + _VACUUM_SECONDS
        while time.monotonic() < until:
            unused = self._database.row("PRAGMA freelist_count")[0]
            pages = self._database.row("PRAGMA page_count")[0]
            if unused <= max(_UNUSED_PAGES, pages * _UNUSED_PART):
                return
            with self._database.write as connection:
                connection.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})").fetchall()

    def _cut_log(self) -> None:
        with self._database.lock:
            self._database.log.cut(self._database.connection)


def _empty(connection: sqlite3.Connection, queue: int) -> int:
    """Delete some of what is in a deleted queue, and at last the queue; return how many rows went."""
    free = connection.execute(_SQL["free"], (queue, CHUNK)).fetchall()
    if free:
        connection.execute(_SQL["take"], (queue, *free[-1]))
    delayed = connection.execute(_SQL["delayed"], (queue, CHUNK)).fetchall()
    connection.executemany(statements("deletion")["delayed"], [(queue, *row) for row in delayed])
    numbers = [number for _, number in (*free, *delayed)]
    claims = connection.execute(_SQL["claims"], (queue, _QUEUES_AT_ONCE)).fetchall()
    for claim in claims:
        numbers += [number for (number,) in connection.execute(_SQL["held"], claim)]
        connection.execute(statements("claims")["give_back"], claim)
        connection.execute(statements("claims")["end"], claim)
    if not numbers:
        numbers = [number for (number,) in connection.execute(_SQL["expiring"], (queue, CHUNK))]
    connection.executemany(_SQL["message"], [(number,) for number in numbers])
    dead = connection.execute(_SQL["dead"], (queue, CHUNK)).rowcount
    if not numbers and not claims and not dead:
        connection.execute(_SQL["subscriptions"], (queue,))
        connection.execute(_SQL["queue"], (queue,))
        return 1
    return len(numbers) + dead
