"""One connection to a database file for each process: its lock, its transactions, retries while busy, and forks."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.sqlite.busy_retry import BusyRetry, WriteRetry
from kombu_pool.drivers.sqlite.error_mapping import SqliteFailure, translated
from kombu_pool.drivers.sqlite.schema import FIRST_POSTED, prepare
from kombu_pool.drivers.sqlite.store_file import file_id, leave_file, open_file, report_loss
from kombu_pool.drivers.sqlite.wakeup import WakeSignal
from kombu_pool.drivers.sqlite.wal import WalUpkeep
from kombu_pool.drivers.sqlite.write_permits import WritePermits
from kombu_pool.errors import ConnectionError, StoreLost  # noqa: A004 - Zaqar's name for it

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from kombu_pool.drivers.sqlite.location import Location
    from kombu_pool.drivers.sqlite.store_file import FileId, StoreFile
    from kombu_pool.drivers.sqlite.times import StoreClock
    from kombu_pool.drivers.sqlite.wal_sync import WalSync

#: Seconds between two checks, at reads, that the file is still at its path. Each write checks it.
_CHECK_INTERVAL = 0.5

_registry: dict[tuple[Location, str], Database] = {}
_registry_lock = threading.RLock()
# Connections inherited through a fork without its hooks: closing one would release the parent's locks.
_inherited: list[sqlite3.Connection] = []


class _Written(threading.local):
    """The file in which a thread's last transaction began, and the rows that its connection had changed by then."""

    file: StoreFile
    changes: int


class Database:
    """A database file, shared by all drivers and threads of a process that ask for the same location."""

    def __init__(self, location: Location, clock: StoreClock) -> None:
        self.path = location.path
        self.location = location
        self._clock = clock
        self.wake_signal = WakeSignal(location.path)
        self.wal = WalUpkeep(location)
        self.permits = WritePermits(location.path)
        self.write = Transaction(self, writes=True)
        self.read = Transaction(self, writes=False)
        self.lock = threading.RLock()
        self.users = 0
        #: The last message id that this process has given, used even if that message is gone.
        self.last_number = FIRST_POSTED - 1
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        #: The last file that was opened.
        self._opened: StoreFile | None = None
        self._written = _Written()
        self._check_at = 0.0
        #: Whether the disk refused a commit, until a checkpoint. Then no write may rely on what a read has found.
        self.has_unflushed = False
        #: The identity of the store, read at each opening of the file.
        self.identity = ""
        #: What differs from before once the file was deleted or replaced: a text for connections, a number for watches.
        self.epoch = ""
        self.losses = 0

    def rows(self, statement: str, values: Any = ()) -> list[Any]:
        """Execute a query and return its rows."""
        retry = None
        while True:
            with self.lock:
                try:
                    return self.connection.execute(statement, values).fetchall()
                except SqliteFailure as error:
                    failure = error
            retry = retry or BusyRetry(self.location)
            retry.wait(failure)

    def row(self, statement: str, values: Any = ()) -> Any:
        """Execute a query and return its first row, or None."""
        found = self.rows(statement, values)
        return found[0] if found else None

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of this process, opened at its first use; used under the lock only."""
        connection = self._connection
        if connection is None or self._pid != os.getpid():
            return self._open()
        if time.monotonic() >= self._check_at and not connection.in_transaction and not self._is_at_path():
            self.disconnect()
            return self._open()
        return connection

    def confirm(self) -> None:
        """Return once what this thread's last transaction wrote is as durable as the settings ask, and can be found.

        A transaction that wrote nothing may be a retry that found its write: first the disk must take what it refused.

        Raises:
            ConnectionError: the disk did not take it. Other transactions see it.
            StoreLost: the file is no longer at its path, so that no process will find what was written.
        """
        written = self._written.file
        if written.log is not None and (self.has_unflushed or _has_changed(written.connection, self._written.changes)):
            self._flush(written.log, written.connection)
        if written.file != file_id(self.path):
            with self.lock:
                if self._opened is not None and self._opened.file == written.file:
                    self.disconnect_between_transactions()
            raise StoreLost(f"{self.path}: the file was deleted or replaced during a write; repeat the write")

    def flush_found(self) -> None:
        """Let :meth:`confirm` flush what this transaction has read: another process may not have flushed it yet."""
        self._written.changes = -1

    def _flush(self, log: WalSync, connection: sqlite3.Connection) -> None:
        if not self.has_unflushed and log.flush() and not self.has_unflushed:
            return
        self.has_unflushed = True
        with self.lock:
            if log.checkpoint(connection):
                self.has_unflushed = False
                return
        raise ConnectionError(f"{self.path}: the disk does not take what is written")

    def scope(self, queue: int) -> tuple[int, str, FileId | None]:
        """Return what tells a queue from those of other files that were at the path. Called in a transaction."""
        opened = self._written.file
        return queue, opened.identity, opened.file

    def current_epoch(self) -> str:
        """Return the epoch of the file that is at the path now."""
        with self.lock:
            self._check_at = 0.0
            self.row("SELECT identity FROM store")
            return self.epoch

    def _is_at_path(self) -> bool:
        self._check_at = time.monotonic() + _CHECK_INTERVAL
        return self._opened is not None and self._opened.file == file_id(self.path)

    def _open(self) -> sqlite3.Connection:
        if self.users == 0:
            raise ConnectionError(f"{self.path}: this driver was closed")
        if self._connection is not None:
            _inherited.append(self._connection)
            self._connection = None
        if self._opened is not None and not Path(self.path).parent.is_dir():
            raise StoreLost(f"{self.path}: its folder was deleted; make it again, or restart")
        prepare(self.path)
        retry = BusyRetry(self.location)
        while True:
            try:
                self._adopt(open_file(self.location, self._clock))
            except sqlite3.Error as error:
                retry.wait(error)
            except OSError as error:
                raise ConnectionError(f"{self.path}: {error.strerror or error}") from error
            if self._connection is not None:
                return self._connection

    def _adopt(self, opened: StoreFile) -> None:
        """Use a file from now on, and compare it with the last one, which was perhaps lost while it was not open."""
        before, self._opened = self._opened, opened
        self._connection, self._pid = opened.connection, os.getpid()
        self._check_at = time.monotonic() + _CHECK_INTERVAL
        if before is not None and (before.identity, before.file) != (opened.identity, opened.file):
            report_loss(self.path, before)
            self.losses += 1
            self.has_unflushed = False
            # A copy of the store has its identity, too.
            self.epoch = opened.identity if opened.identity != before.identity else f"{opened.identity}.{self.losses}"
        self.epoch = self.epoch or opened.identity
        self.identity = opened.identity

    # A transaction is ``with database.write, database.lock, database.begin_write() as connection``. The lock and the
    # connection are context managers in C: no signal handler can raise between the end of the block and theirs.

    def begin_write(self) -> sqlite3.Connection:
        """Begin a transaction that writes; the connection ends it as a context manager. Called under the lock."""
        retry = None if self.permits.may_begin() else self._write_retry()
        connection = self._begin("BEGIN IMMEDIATE", self._write_retry, retry)
        self.permits.begun()
        if self._opened is not None:
            self._written.file, self._written.changes = self._opened, connection.total_changes
        return connection

    def begin_read(self) -> sqlite3.Connection:
        """Begin a transaction that reads, as :meth:`begin_write`."""
        return self._begin("BEGIN", self._retry)

    def _retry(self) -> BusyRetry:
        return BusyRetry(self.location)

    def _write_retry(self) -> BusyRetry:
        return WriteRetry(self.location, self.permits)

    def _begin(
        self, statement: str, new_retry: Callable[[], BusyRetry], retry: BusyRetry | None = None
    ) -> sqlite3.Connection:
        try:
            if retry is not None:
                retry.wait_unlocked(self.lock, None)
            while True:
                connection = self.connection
                if connection.in_transaction:
                    self.end_left_over(connection)
                failure = _failure_of(connection, statement)
                if failure is None:
                    return connection
                retry = retry or new_retry()
                retry.wait_unlocked(self.lock, failure)
        finally:
            if retry is not None:
                retry.end()

    def end_left_over(self, connection: sqlite3.Connection) -> None:
        """Roll back a transaction in which no code runs any more. Called under the lock.

        It is left when signal handlers raise twice in a row, just after its begin.

        Raises:
            ConnectionError: a signal handler uses the database in the middle of a transaction of its thread.
        """
        if _is_nested(self.lock):
            raise ConnectionError(f"{self.path}: used by a signal handler in the middle of a transaction")
        connection.rollback()

    def roll_back_left_over(self) -> None:
        """Roll back a transaction that an exception has left in this thread, if there is one."""
        with self.lock:
            connection = self._own_connection()
            if connection is not None and connection.in_transaction and not _is_nested(self.lock):
                connection.rollback()

    def shorten_wal(self) -> None:
        """Shorten the write-ahead log if it is too long. Never raises: a commit before it has succeeded."""
        with self.lock:
            connection = self._own_connection()
            if connection is not None:
                self.wal.shorten(connection)

    def _own_connection(self) -> sqlite3.Connection | None:
        """Return the connection if this process has opened it."""
        return self._connection if self._pid == os.getpid() else None

    def wake(self) -> None:
        """Wake the watches of all processes."""
        self.wake_signal.send()

    def open(self) -> Database:
        """Open the file for a driver that is already counted among its users."""
        try:
            with self.lock:
                _ = self.connection
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Close the file for one driver; the last one closes the connection."""
        with _registry_lock:
            self.users -= 1
            if self.users:
                return
            _registry.pop((self.location, self._clock.boot), None)
        with self.lock:
            self.disconnect()
            self.wake_signal.close()

    def disconnect(self) -> None:
        """Close the connection; the next use opens it again."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._pid != os.getpid():
            _inherited.append(connection)
        elif self._opened is None or self._is_at_path():
            connection.close()
        else:
            report_loss(self.path, self._opened)
            leave_file(self.path, self._opened)
        self._close_log()

    def _close_log(self) -> None:
        if self._opened is not None and self._opened.log is not None and self._pid == os.getpid():
            self._opened.log.close()
            self._opened = self._opened._replace(log=None)

    def disconnect_between_transactions(self) -> None:
        """Close the connection, unless a signal handler calls this in the middle of a transaction."""
        if self._connection is None or not self._connection.in_transaction:
            self.disconnect()


class Transaction:
    """Maps the errors of a transaction, and confirms that its writes are found, as a context manager around it."""

    __slots__ = ("_database", "_writes")

    def __init__(self, database: Database, *, writes: bool) -> None:
        self._database = database
        self._writes = writes

    def __enter__(self) -> None:
        """Do nothing: the transaction begins under the lock."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        database = self._database
        if self._writes:
            database.permits.ended()
        if error is None:
            if self._writes:
                database.confirm()
            if database.wal.committed():
                database.shorten_wal()
            return
        database.roll_back_left_over()
        if isinstance(error, SqliteFailure):
            raise translated(error, database.path) from error


def _failure_of(connection: sqlite3.Connection, begin: str) -> sqlite3.Error | None:
    """Begin a transaction; return the error if it did not begin."""
    try:
        connection.execute(begin)
    except sqlite3.Error as error:
        return error
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise
    return None


def _has_changed(connection: sqlite3.Connection, changes: int) -> bool:
    """Return whether a connection has changed rows; also if another thread has closed it meanwhile."""
    try:
        return connection.total_changes != changes
    except sqlite3.ProgrammingError:
        return True


def _is_nested(lock: Any) -> bool:
    """Return whether the thread that holds a lock has entered it more than once."""
    return "count=1 " not in repr(lock)


def acquire(location: Location, clock: StoreClock) -> Database:
    """Return this process's database at a location, opened; each caller must close it once."""
    with _registry_lock:
        database = _registry.get((location, clock.boot))
        if database is None:
            database = _registry[location, clock.boot] = Database(location, clock)
        database.users += 1
    # Not under the registry's lock: this may wait for other processes.
    return database.open()


# A connection must not survive a fork. SQLite counts locks by process: the child would inherit the count but not the
# locks, and the parent could delete the log with all that the child had written there. So connections are closed before
# a fork, between two transactions, and opened again at their next use in either process.


def _before_fork() -> None:
    _registry_lock.acquire()
    for database in _registry.values():
        database.lock.acquire()
        database.disconnect_between_transactions()


def _after_fork_in_parent() -> None:
    for database in _registry.values():
        database.lock.release()
    _registry_lock.release()


def _after_fork_in_child() -> None:
    global _registry_lock  # noqa: PLW0603 - a thread of the parent may have held it
    _registry_lock = threading.RLock()
    for database in _registry.values():
        database.lock = threading.RLock()
        database.permits.forget()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
