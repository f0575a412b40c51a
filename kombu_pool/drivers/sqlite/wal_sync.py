"""Flushes the write-ahead log to the disk after a commit, while other writers go on.

With ``FULL``, SQLite flushes the log under its lock, so each writer waits for the flushes of all before it. The file is
opened with ``NORMAL`` instead, where a commit only writes, and each process flushes the log before it reports success.
One flush serves all commits before it. What is read back after a loss of power is the log up to its first gap, so no
commit is there without those before it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress

# macOS has no fdatasync.
_flush = getattr(os, "fdatasync", os.fsync)


class WalSync:
    """The open write-ahead log of a database file; closed with the last reference, as a thread may be flushing it."""

    def __init__(self, path: str) -> None:
        """Open the log of a file that is open.

        Raises:
            OSError: it cannot be opened.
        """
        self._pid = os.getpid()
        self._file = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._has_failed = False

    def flush(self) -> bool:
        """Return whether all that was committed is on the disk now. Called without the file's lock.

        After a failure it is False until :meth:`checkpoint`: the kernel may count lost pages as written.
        """
        if not self._has_failed:
            try:
                _flush(self._file)
            except OSError:
                self._has_failed = True
        return not self._has_failed

    def checkpoint(self, connection: sqlite3.Connection) -> bool:
        """Return whether all that was committed was copied into the database file, and that is on the disk."""
        with suppress(sqlite3.Error):
            self._has_failed = bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
        return not self._has_failed

    def __del__(self) -> None:
        """Close the log. A child may have closed its parent's descriptor, and another file may have the number."""
        if getattr(self, "_pid", 0) == os.getpid():
            with suppress(OSError):
                os.close(self._file)


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
