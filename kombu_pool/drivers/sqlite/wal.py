"""Keeps the write-ahead log short.

SQLite restarts its log only when all of it is in the database file and no process reads from it, and it tries that
without waiting. While several processes write and read without a pause, that moment never comes: the log grows without
bound, and each commit that finds it long moves its few new pages, which flushes both files. So every process restarts
the log at intervals of its own commits while it keeps other writers out, and has all wait when it is too long.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.location import size_of

if TYPE_CHECKING:
    from kombu_pool.drivers.sqlite.location import Location


class WalUpkeep:
    """Restarts and truncates the write-ahead log of one database file."""

    #: Commits of this process between two checks of the log's length.
    CHECK_INTERVAL = 16
    #: Checks between two attempts to restart the log: 500 to 1,000 pages of single messages.
    RESTART_INTERVAL = 16
    #: Pages from which on each commit moves the log: those that add many are faster than the intervals.
    PAGES = 2000
    #: Time that a running write has to finish, in milliseconds, before the log is moved and not restarted.
    WRITER_TIMEOUT = 2
    #: Time that running reads have to finish, in milliseconds.
    READER_TIMEOUT = 50
    #: First and longest pause after an attempt that a reader outlasted, in seconds. An attempt that failed at once,
    #: because another process truncated the log, has delayed no process and needs no pause.
    FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0

    def __init__(self, location: Location) -> None:
        self._path = f"{location.path}-wal"
        self._limit = location.wal_size_limit
        self._commits = 0
        self._checks = 0
        self._pause = self.FIRST_PAUSE
        self._not_before = 0.0

    def committed(self) -> bool:
        """Count a commit; return whether the log's length is to be checked."""
        self._commits += 1
        if self._commits < self.CHECK_INTERVAL:
            return False
        self._commits = 0
        return True

    def shorten(self, connection: sqlite3.Connection) -> None:
        """Restart the log when it is time; empty it if it is too long and the other processes allow it."""
        self._checks += 1
        if self._checks >= self.RESTART_INTERVAL:
            self._checks = 0
            _checkpoint(connection, "RESTART", self.WRITER_TIMEOUT)
        if size_of(self._path) <= self._limit:
            self._pause = self.FIRST_PAUSE
        elif (began := time.monotonic()) >= self._not_before and not _checkpoint(
            connection, "TRUNCATE", self.READER_TIMEOUT
        ):
            if time.monotonic() - began < self.READER_TIMEOUT / 2000:
                return
            # A longer read, perhaps a backup: the other processes must not wait for it at every check.
            self._not_before = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, self.LONGEST_PAUSE)


def _checkpoint(connection: sqlite3.Connection, mode: str, timeout: int) -> bool:
    """Move the log into the database file; return whether it was restarted, which others may prevent."""
    try:
        connection.execute(f"PRAGMA busy_timeout = {timeout}")
        try:
            busy, _, _ = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        finally:
            connection.execute("PRAGMA busy_timeout = 0")
    except sqlite3.Error:
        return False
    return not busy
