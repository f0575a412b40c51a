"""Frees space: expired messages, ended claims, the rows of deleted queues, and unused pages of the file."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.drivers.sqlite.states import CHUNK, advance_chunk

if TYPE_CHECKING:
    import sqlite3

    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.subscriptions import SubscriptionController
    from kombu_pool.drivers.sqlite.times import StoreClock

_SQL = statements("collector")
_STATES = statements("states")
_KEYS = statements("message_keys")
_REMOVE_ARRIVAL = statements("moving")["remove_arrival"]

#: Bounds of one call: rows, seconds for them, and seconds for pages.
_ROWS, _SECONDS, _VACUUM_SECONDS = 10_000, 0.02, 0.05
#: Queues or claims that one statement selects at most.
_LIMIT = 20
#: Unused pages of the file, by number and by share: the file shrinks if both are exceeded.
_UNUSED_PAGES, _UNUSED_SHARE = 1000, 0.25
#: Pages that one transaction returns to the file system at most.
_PAGE_CHUNK = 256


class Collector:
    """Frees space, a bounded amount in each call."""

    def __init__(self, database: Database, clock: StoreClock, subscriptions: SubscriptionController) -> None:
        self._database = database
        self._clock = clock
        self._subscriptions = subscriptions

    def collect(self) -> int:
        """Remove some rows that are no longer needed; return how many."""
        until = time.monotonic() + _SECONDS
        total = 0
        for step in (
            self._collect_expired,
            self._collect_ids,
            self.collect_deleted,
            partial(self._subscriptions.collect_some, _LIMIT),
        ):
            while total < _ROWS and time.monotonic() < until:
                rows = step()
                total += rows
                if not rows:
                    break
        self._shrink()
        self._shorten_wal()
        return total

    def _collect_expired(self) -> int:
        database, now = self._database, self._clock.now()
        queues = {
            queue
            for name, time in (("expired_messages", now.wall), ("ended_claims", now.elapsed))
            for (queue,) in database.rows(_SQL[name], (time, _LIMIT))
        }
        total = 0
        for queue in queues:
            with database.write, database.lock, database.begin_write() as connection:
                total += advance_chunk(connection, queue, now)[0]
        return total

    def _collect_ids(self) -> int:
        """Remove some ids that unique messages held for a time; return how many."""
        now = self._clock.now().wall
        if self._database.row(_KEYS["any_over"], (now,)) is None:
            return 0
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            return connection.execute(_KEYS["over"], (now, CHUNK)).rowcount

    def collect_deleted(self) -> int:
        """Remove some rows of deleted queues; return how many."""
        if self._database.row(_SQL["deleted"]) is None:
            return 0
        total = 0
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            # Most are empty, and a commit takes longer than the removal of them all.
            for _ in range(_LIMIT):
                found = connection.execute(_SQL["deleted"]).fetchone()
                if found is None or total >= CHUNK:
                    break
                total += _empty(connection, found[0])
        return total

    def _shrink(self) -> None:
        """Return unused pages to the file system, few at a time, so that other writers get the lock in between."""
        until, has_returned = time.monotonic() + _VACUUM_SECONDS, False
        while time.monotonic() < until and self._has_unused_pages():
            with self._database.write, self._database.lock, self._database.begin_write() as connection:
                for _ in range(_PAGE_CHUNK):
                    # One by one: some releases of Python end the statement after the first page.
                    connection.execute("PRAGMA incremental_vacuum(1)").fetchall()
            has_returned = True
        if has_returned:
            # The file gets shorter when the log is moved into it, which an idle store would not do.
            self._database.row("PRAGMA wal_checkpoint(PASSIVE)")

    def _has_unused_pages(self) -> bool:
        unused: int = self._database.row("PRAGMA freelist_count")[0]
        pages: int = self._database.row("PRAGMA page_count")[0]
        return unused > max(_UNUSED_PAGES, pages * _UNUSED_SHARE)

    def _shorten_wal(self) -> None:
        with self._database.lock:
            self._database.wal.shorten(self._database.connection)


def _empty(connection: sqlite3.Connection, queue: int) -> int:
    """Remove some rows of a deleted queue, and the queue itself once it is empty; return how many."""
    free = connection.execute(_SQL["free"], (queue, CHUNK)).fetchall()
    if free:
        connection.execute(_SQL["remove_free_up_to"], (queue, *free[-1]))
    delayed = connection.execute(_SQL["delayed"], (queue, CHUNK)).fetchall()
    connection.executemany(statements("deletion")["delayed"], [(queue, *row) for row in delayed])
    numbers = [number for _, number in (*free, *delayed)]
    claims = connection.execute(_SQL["claims"], (queue, _LIMIT)).fetchall()
    for claim in claims:
        numbers += [number for (number,) in connection.execute(_SQL["claimed"], claim)]
        connection.execute(_STATES["remove_claimed"], claim)
        connection.execute(_STATES["end_claim"], claim)
    if not numbers:
        numbers = [number for (number,) in connection.execute(_SQL["expiring"], (queue, CHUNK))]
    connection.executemany(_SQL["message"], [(number,) for number in numbers])
    dead = connection.execute(_SQL["dead"], (queue, CHUNK)).rowcount
    aside = connection.execute(_SQL["aside"], (queue, CHUNK)).rowcount
    if not numbers and not claims and not dead and not aside:
        connection.execute(_KEYS["of_queue"], (queue,))
        connection.execute(_REMOVE_ARRIVAL, (queue,))
        connection.execute(_SQL["queue"], (queue,))
        return 1
    return len(numbers) + dead + aside
