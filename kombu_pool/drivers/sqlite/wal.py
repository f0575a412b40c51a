"""Keeps the write-ahead log short.

SQLite restarts its log only when all of it is in the database file and no process reads from it, and it tries that
without waiting. While several processes write and read without a pause, that moment never comes, and the log grows
without bound. So every process checks the log's length at intervals of its own commits, and makes the others wait for a
moment when it is too long.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.location import size_of

if TYPE_CHECKING:
    from kombu_pool.drivers.sqlite.location import Location


class WalTruncation:
    """Truncates the write-ahead log of one database file."""

    #: Commits of this process between two checks of the log's length.
    CHECK_INTERVAL = 16
    #: Time that running reads have to finish, in milliseconds.
    READER_TIMEOUT = 50
    #: First and longest pause after an attempt that a reader outlasted, in seconds. An attempt that failed at once,
    #: because another process truncated the log, has delayed no process and needs no pause.
    FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0

    def __init__(self, location: Location) -> None:
        self._path = f"{location.path}-wal"
        self._limit = location.wal_size_limit
        self._commits = 0
        self._pause = self.FIRST_PAUSE
        self._not_before = 0.0

    def committed(self) -> bool:
        """Count a commit; return whether the log's length is to be checked."""
        self._commits += 1
        if self._commits < self.CHECK_INTERVAL:
            return False
        self._commits = 0
        return True

    def truncate(self, connection: sqlite3.Connection) -> None:
        """Move the log into the file and empty it, if it is too long and the other processes allow it."""
        if size_of(self._path) <= self._limit:
            self._pause = self.FIRST_PAUSE
        elif (began := time.monotonic()) >= self._not_before and not self._try(connection):
            if time.monotonic() - began < self.READER_TIMEOUT / 2000:
                return
            # A longer read, perhaps a backup: the other processes must not wait for it at every check.
            self._not_before = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, self.LONGEST_PAUSE)

    def _try(self, connection: sqlite3.Connection) -> bool:
        try:
            connection.execute(f"PRAGMA busy_timeout = {self.READER_TIMEOUT}")
            try:
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.execute("PRAGMA busy_timeout = 0")
        except sqlite3.Error:
            return False
        return not busy
