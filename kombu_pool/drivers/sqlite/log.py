"""Keeps the write-ahead log short.

SQLite begins its log anew only when all of it is in the database file and nobody reads from it, which it tries without
waiting. While several processes write and read all the time it never finds that moment, and the log grows without end.
So whoever commits looks at it now and then, and when it is too long makes the others wait for a moment.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.location import size_of

if TYPE_CHECKING:
    from kombu_pool.drivers.sqlite.location import Location


class Log:
    """The write-ahead log of one database file."""

    #: Commits of this process between two looks at the log's length.
    EVERY = 16
    #: Milliseconds for which those who read now may finish.
    PATIENCE = 50
    #: Seconds until the next try after one that a reader outlasted: the first time, and at most. One that failed at
    #: once, while another process was cutting, cost nobody anything.
    FIRST_PAUSE, LAST_PAUSE = 0.05, 5.0

    def __init__(self, location: Location) -> None:
        self._path = f"{location.path}-wal"
        self._limit = location.wal_size_limit
        self._commits = 0
        self._pause = self.FIRST_PAUSE
        self._not_before = 0.0

    def committed(self, connection: sqlite3.Connection) -> None:
        """Count a commit. Never raises: what was committed is."""
        self._commits += 1
        if self._commits >= self.EVERY:
            self._commits = 0
            self.cut(connection)

    def cut(self, connection: sqlite3.Connection) -> None:
        """Move the log into the file and empty it, if it is too long and the others let us."""
        if size_of(self._path) <= self._limit:
            self._pause = self.FIRST_PAUSE
        elif (began := time.monotonic()) >= self._not_before and not self._is_cut(connection):
            if time.monotonic() - began < self.PATIENCE / 2000:
                return
            # Somebody reads for longer, a backup perhaps: everybody else must not wait for that all the time.
            self._not_before = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, self.LAST_PAUSE)

    def _is_cut(self, connection: sqlite3.Connection) -> bool:
        try:
            connection.execute(f"PRAGMA busy_timeout = {self.PATIENCE}")
            try:
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.execute("PRAGMA busy_timeout = 0")
        except sqlite3.Error:
            return False
        return not busy
