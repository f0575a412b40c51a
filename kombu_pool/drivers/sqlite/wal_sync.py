"""Flushes the write-ahead log to the disk after a commit, while other writers go on.

With ``FULL``, SQLite flushes the log under its lock, so each writer waits for the flushes of all before it. The file is
opened with ``NORMAL`` instead, where a commit only writes, and each process flushes the log before it reports success.
One flush serves all commits before it. What is read back after a loss of power is the log up to its first gap, so no
commit is there without those before it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import suppress

# macOS has no fdatasync.
_flush = getattr(os, "fdatasync", os.fsync)


class WalSync:
    """The write-ahead log of a database file. Threads flush it at the same time, also while another closes it."""

    def __init__(self, path: str) -> None:
        """Open the log of a file that is open.

        Raises:
            OSError: it cannot be opened.
        """
        self._path = f"{path}-wal"
        self._lock = threading.Lock()
        self._file = self._open()
        self._is_open = True
        self._flushes = 0

    def flush(self) -> bool:
        """Return whether all that was committed is on the disk now. Called without the file's lock.

        After a failure only :meth:`checkpoint` can tell: the kernel may count lost pages as written.
        """
        try:
            with self._lock:
                if self._file < 0:
                    self._file = self._open()
                self._flushes += 1
                file = self._file
            try:
                _flush(file)
            finally:
                with self._lock:
                    self._flushes -= 1
                    if not self._is_open:
                        self._close_unused()
        except FileNotFoundError:
            pass  # SQLite has moved the log into the database file, and deleted it
        except OSError:
            return False
        return True

    def checkpoint(self, connection: sqlite3.Connection) -> bool:
        """Return whether all that was committed was copied into the database file, and that is on the disk."""
        with suppress(sqlite3.Error):
            return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return False

    def close(self) -> None:
        """Close the log once no thread flushes it; a flush that begins later opens it again."""
        with self._lock:
            self._is_open = False
            self._close_unused()

    def _open(self) -> int:
        return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def _close_unused(self) -> None:
        if not self._flushes and self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)


def open_log(connection: sqlite3.Connection, path: str, synchronous: str) -> WalSync | None:
    """Return the log that the process flushes itself; None where SQLite does it, or it is not flushed at all."""
    if synchronous != "FULL":
        return None
    try:
        log = WalSync(path)
    except OSError:
        return None
    connection.execute("PRAGMA synchronous = NORMAL")
    return log
