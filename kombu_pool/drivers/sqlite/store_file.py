"""Opens the file at a path, tells whether it is still that file, and keeps a new one apart from a deleted one.

SQLite finds the write-ahead log and its index by their names. A log that outlives its database file would be read into
the next file of that name, and an index that processes of the deleted file still use would be shared with them.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from kombu_pool.drivers.sqlite.location import size_of
from kombu_pool.drivers.sqlite.schema import connect
from kombu_pool.drivers.sqlite.wakeup import open_wake_file, wake_path
from kombu_pool.drivers.sqlite.wal_sync import open_log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu_pool.drivers.sqlite.location import Location
    from kombu_pool.drivers.sqlite.times import StoreClock
    from kombu_pool.drivers.sqlite.wal_sync import WalSync

logger = logging.getLogger(__name__)

#: The ends of the names of the write-ahead log and its index.
_BESIDE = ("-wal", "-shm")

#: Device and inode of a file.
FileId = tuple[int, int]


class StoreFile(NamedTuple):
    """A database file that is open."""

    connection: sqlite3.Connection
    #: The identity of the store in it.
    identity: str
    file: FileId | None
    #: Its write-ahead log and the log's index; their inodes are not used again while the file is open.
    beside: tuple[FileId | None, ...]
    #: Its write-ahead log, which is flushed after each commit; None unless a commit waits for the disk.
    log: WalSync | None


def file_id(path: str) -> FileId | None:
    """Return the file that is at a path; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - after each commit: a Path takes twice the time
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_file(location: Location, clock: StoreClock) -> StoreFile:
    """Open the file at a location; create it if it is missing or empty. Raises as :func:`connect`, and OSError."""
    path = location.path
    while True:
        try:
            if size_of(path):
                opened = _open(location, clock)
            else:
                with _creation_lock(path):
                    _create(path)
                    opened = _open(location, clock)
        except sqlite3.OperationalError:
            if file_id(path) is not None:
                raise
            continue
        if file_id(path) == opened.file:
            return opened
        # The path had another file before SQLite opened it, or has one now.
        opened.connection.close()
        if opened.log is not None:
            opened.log.close()


def _open(location: Location, clock: StoreClock) -> StoreFile:
    path = location.path
    before = file_id(path)
    connection, identity = connect(location, clock)
    log = open_log(connection, path, location.synchronous)
    return StoreFile(connection, identity, before, tuple(file_id(path + end) for end in _BESIDE), log)


def leave_file(path: str, lost: StoreFile) -> None:
    """Close a file that is no longer at its path, and remove what is left there of its write-ahead log."""
    with suppress(sqlite3.Error, OSError), _creation_lock(path):
        # A file that was moved away keeps its messages.
        lost.connection.execute("PRAGMA wal_checkpoint").fetchone()
        for end, file in zip(_BESIDE, lost.beside, strict=True):
            if file is not None and file_id(path + end) == file:
                _remove(path + end)
    lost.connection.close()


#: The store and the file whose loss this process has logged last, by path.
_reported: dict[str, tuple[str, FileId | None]] = {}


def report_loss(path: str, lost: StoreFile) -> None:
    """Log that a file was deleted or replaced, unless another database of this process has logged it."""
    if _reported.get(path) == (lost.identity, lost.file):
        return
    _reported[path] = lost.identity, lost.file
    # Without its folder, as a temporary one that a program removes, nothing continues: each use is an error.
    logger.log(
        logging.ERROR if file_id(os.path.dirname(path)) else logging.DEBUG,  # noqa: PTH120
        "The file %s was deleted or replaced: this process continues with the file that is there now, a new one if"
        " there is none; stop all processes of a store before its file is deleted or replaced",
        path,
    )


def _create(path: str) -> None:
    """Make an empty file with the mode of the umask, without anything that a deleted one left beside it."""
    if size_of(path):
        return
    for end in _BESIDE:
        _remove(path + end)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - as os.stat above


@contextmanager
def _creation_lock(path: str) -> Iterator[None]:
    """Exclude the other processes that create the file, or remove what a deleted one left beside it."""
    while True:
        lock = open_wake_file(path)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            locked = os.fstat(lock)
            # Else the file was deleted meanwhile, and other processes lock the next one.
            if (locked.st_dev, locked.st_ino) == file_id(wake_path(path)):
                yield
                return
        finally:
            os.close(lock)
