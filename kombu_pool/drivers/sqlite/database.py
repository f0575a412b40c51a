"""One connection to a database file for all of a process: its lock, transactions, waiting in line, and forks."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.sqlite.connection import connect, prepare
from kombu_pool.drivers.sqlite.doorbell import Bell
from kombu_pool.drivers.sqlite.faults import Fault, is_busy, translated
from kombu_pool.drivers.sqlite.log import Log
from kombu_pool.errors import ConnectionError  # noqa: A004 - Zaqar's name for it

if TYPE_CHECKING:
    from types import TracebackType

    from kombu_pool.drivers.sqlite.location import Location

# SQLite's own waiting sleeps up to 100 ms at a time, which starves whoever came first.
_FIRST_PAUSE = 0.0001
_LONGEST_PAUSE = 0.002

_registry: dict[Location, Database] = {}
_registry_lock = threading.RLock()
# Connections that came through a fork that nobody announced: closing one would take the parent's locks away.
_inherited: list[sqlite3.Connection] = []


class Database:
    """A database file, shared by all drivers and threads of a process that ask for the same location."""

    def __init__(self, location: Location) -> None:
        self.path = location.path
        self.location = location
        self.bell = Bell(location.path)
        self.log = Log(location)
        self.write = Transaction(self, "BEGIN IMMEDIATE")
        self.read = Transaction(self, "BEGIN")
        self.lock = threading.RLock()
        self.inside = False
        self.users = 0
        #: The last message id that this process gave, which is good even when no message has it any more.
        self.last_number = 0
        self._connection: sqlite3.Connection | None = None
        self._pid = 0

    def rows(self, statement: str, values: Any = ()) -> list[Any]:
        """Run one reading statement and return its rows."""
        with self.lock:
            try:
                return self.connection.execute(statement, values).fetchall()
            except Fault as error:
                return self.insist(statement, values, error)

    def row(self, statement: str, values: Any = ()) -> Any:
        """Run one reading statement and return its first row, or None."""
        found = self.rows(statement, values)
        return found[0] if found else None

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of this process, opened when it is first asked for; to be used under the lock only."""
        connection = self._connection
        if connection is not None and self._pid == os.getpid():
            return connection
        return self._open()

    def _open(self) -> sqlite3.Connection:
        if self.users == 0:
            raise ConnectionError(f"{self.path}: this driver was closed")
        if self._connection is not None:
            _inherited.append(self._connection)
            self._connection = None
        prepare(self.path)
        poll_interval = Patience(self)
        while True:
            try:
                self._connection = connect(self.location)
            except sqlite3.Error as error:
                poll_interval.wait(error)
            else:
                self._pid = os.getpid()
                return self._connection

    def insist(self, statement: str, values: Any, error: BaseException) -> list[Any]:
        """Run a statement that failed with ``error`` until nobody is in the way; raise our error for any other."""
        poll_interval = Patience(self)
        while True:
            poll_interval.wait(error)
            try:
                return self.connection.execute(statement, values).fetchall()
            except Fault as again:
                error = again

    def ring(self) -> None:
        """Wake whoever waits for messages, in any process."""
        self.bell.ring()

    def open(self) -> Database:
        """Open the file for a driver that counts among the users already."""
        try:
            with self.lock:
                _ = self.connection
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Close the file for one driver, and with the last one of them altogether."""
        with _registry_lock:
            self.users -= 1
            if self.users:
                return
            _registry.pop(self.location, None)
        with self.lock:
            self.let_go()
            self.bell.close()

    def let_go(self) -> None:
        """Close the connection; the next one who needs it opens it again."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._pid != os.getpid():
            _inherited.append(connection)
        else:
            connection.close()


class Patience:
    """Waits in line for a file that others use, up to its busy timeout, letting other threads go first."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._began = time.monotonic()
        self._pause = _FIRST_PAUSE

    def wait(self, error: BaseException) -> None:
        """Wait a little if ``error`` says that somebody is in the way; else, or when it took too long, raise ours."""
        database = self._database
        if not is_busy(error):
            raise translated(error, database.path) from error
        limit = database.location.busy_timeout
        if time.monotonic() - self._began >= limit:
            raise ConnectionError(f"{database.path}: locked by another process for {limit:g} s") from error
        database.lock.release()
        try:
            time.sleep(self._pause * random.uniform(0.5, 1.5))  # noqa: S311 - nothing secret
        finally:
            database.lock.acquire()
        self._pause = min(self._pause * 1.5, _LONGEST_PAUSE)


class Transaction:
    """``with`` it a thread has the connection for itself: all that it writes happens, or nothing."""

    __slots__ = ("_begin", "_database")

    def __init__(self, database: Database, begin: str) -> None:
        self._database = database
        self._begin = begin

    def __enter__(self) -> sqlite3.Connection:
        database = self._database
        database.lock.acquire()
        try:
            connection = database.connection
            if connection.in_transaction:
                self._refuse_or_clear(connection)
            try:
                connection.execute(self._begin)
            except sqlite3.Error as error:
                database.insist(self._begin, (), error)
                connection = database.connection
            database.inside = True
            return connection
        except BaseException:
            database.lock.release()
            raise

    def _refuse_or_clear(self, connection: sqlite3.Connection) -> None:
        if self._database.inside:
            raise ConnectionError(f"{self._database.path}: used by a signal handler in the middle of a transaction")
        # A signal handler raised just after the last BEGIN, before anything was written.
        connection.execute("ROLLBACK")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        database = self._database
        connection = database.connection
        try:
            if error is None:
                self._commit(connection)
                return
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        finally:
            database.inside = False
            database.lock.release()
        if isinstance(error, Fault):
            raise translated(error, database.path) from error

    def _commit(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise translated(error, self._database.path) from error
        self._database.log.committed(connection)


def acquire(location: Location) -> Database:
    """Return this process's database at a location, opened; to be closed once by each who acquired it."""
    with _registry_lock:
        database = _registry.get(location)
        if database is None:
            database = _registry[location] = Database(location)
        database.users += 1
    # Not under the registry's lock: this may wait for other processes.
    return database.open()


# A connection must not live through a fork. SQLite counts locks by process: the child would inherit the count but not
# the locks, and the parent could take the log away from under it, with all that the child had written there. So
# connections are closed before a fork, between two transactions, and opened again on either side when they are needed.


def _before_fork() -> None:
    _registry_lock.acquire()
    for database in _registry.values():
        database.lock.acquire()
        if not database.inside:
            database.let_go()


def _after_fork_in_parent() -> None:
    for database in _registry.values():
        database.lock.release()
    _registry_lock.release()


def _after_fork_in_child() -> None:
    global _registry_lock  # noqa: PLW0603 - a thread that is not here may have held it
    _registry_lock = threading.RLock()
    for database in _registry.values():
        database.lock = threading.RLock()
        database.inside = False


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
