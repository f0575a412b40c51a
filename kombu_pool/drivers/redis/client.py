"""The client of one Redis: it runs scripts and commands over a few connections that all users in the process share.

A command takes the connection that was used last. The client object of redis-py is not in between: it takes three
times as long for a call.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from redis import exceptions as redis_errors

from kombu_pool.drivers.redis.connection import (
    BACKOFF,
    Connection,
    execute,
    execute_all,
    execute_busy_waiting,
)
from kombu_pool.drivers.redis.connector import Connector
from kombu_pool.drivers.redis.error_mapping import CLIENT_ERRORS, error_code, translated, translation
from kombu_pool.drivers.redis.server_check import check_layout, is_cluster, layout_key
from kombu_pool.drivers.shared_connections import renew_in_children
from kombu_pool.errors import (
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    KombuPoolError,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import redis

    from kombu_pool.drivers.redis.location import Location
    from kombu_pool.drivers.redis.scripts import Script

#: Error codes of commands that were not executed: the server is loading, or is no longer the master.
_NOT_EXECUTED = frozenset({"LOADING", "MASTERDOWN", "READONLY"})
#: Replies of posts that stored nothing, so that no replica needs to have it.
_NOTHING_STORED = (None, b"bounded", b"full", b"advance", b"take_dead", b"absent", b"another", b"superseded")
#: Interval at which a thread that waits for a connection checks whether one was lost, in seconds.
_LOSS_CHECK_INTERVAL = 0.1


class Client:
    """Runs scripts and commands on one Redis."""

    #: Whether a script may only use the keys of one queue.
    is_cluster = False

    def __init__(self, location: Location) -> None:
        self.location = location
        self._connector = Connector(location, self._end_outdated)
        self._is_layout_checked = False
        self._start()
        renew_in_children(self)

    def _start(self) -> None:
        self._pid = os.getpid()
        self._idle: deque[Connection] = deque()
        self._blocking: deque[Connection] = deque()
        #: All connections for commands. One is lost when a signal handler raises while it is being released.
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._waiting: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._closed = False
        self.renew_lock()

    def call(self, script: Script, keys: Sequence[bytes], *args: Any) -> Any:
        """Run a script.

        Raises:
            ConnectionError: Redis did not reply, or too few replicas confirmed; the script may have run.
            StoreFull: Redis refuses writes; the script changed nothing.
        """
        arguments = (str(len(keys)), *keys, *args)
        return self._use(keys[0], lambda raw: self._run(raw, script, arguments), retry=script.repeatable)

    def command(self, *args: Any) -> Any:
        """Run one command that may run twice without harm; raises as :meth:`call` does.

        Its key, if it takes one, is its first argument.
        """
        return self._use(args[1] if len(args) > 1 else b"", lambda raw: execute(raw, args), retry=True)

    def commands(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Run such commands in one round trip; raise the first error once all have run."""
        return self._use(b"", lambda raw: execute_all(raw, commands), retry=True) if commands else []

    def calls(self, script: Script, each: Sequence[tuple[Sequence[bytes], Sequence[Any]]]) -> list[Any]:
        """Run a repeatable script for several (keys, arguments), in one round trip."""
        commands = [("EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in each]
        try:
            return self.commands(commands)
        except StoreError as error:
            if not isinstance(error.__cause__, redis_errors.NoScriptError):
                raise
        return [self.call(script, keys, *args) for keys, args in each]

    def _use(self, key: bytes | str, work: Callable[[redis.Connection], Any], *, retry: bool) -> Any:
        if not self._is_layout_checked:
            self._require_layout()
        return self._use_unchecked(key, work, retry=retry)

    def _require_layout(self) -> None:
        if not self._is_layout_checked:
            check_layout(
                lambda *args: self._use_unchecked(args[1], lambda raw: execute(raw, args), retry=True), self.location
            )
            self._is_layout_checked = True

    def has_layout(self) -> bool:
        """Return whether the store exists, without creating it."""
        key = layout_key(self.location)
        return self._use_unchecked(key, lambda raw: execute(raw, ("GET", key)), retry=True) is not None

    def _use_unchecked(self, key: bytes | str, work: Callable[[redis.Connection], Any], *, retry: bool) -> Any:
        try:
            return self.with_connection(work, retry=retry)
        except CLIENT_ERRORS as error:
            if isinstance(error, KombuPoolError):
                raise
            if error_code(error) in {"MOVED", "CROSSSLOT"}:
                raise is_cluster(self.location) from error  # the server may refuse INFO, which says so earlier
            raise translation(error, self.location) from error

    def with_connection(self, work: Callable[[redis.Connection], Any], *, retry: bool) -> Any:
        """Call ``work`` with a connection and return its result; raises what redis-py does.

        It is called once more, with a new connection, when the first one was lost and ``retry`` is true; and in any
        case when Redis refused to execute it.
        """
        connection = self._acquire()
        try:
            return self._attempt(connection, work, retry=retry)
        except redis_errors.RedisError as error:
            if error_code(error) not in _NOT_EXECUTED:
                raise
            self._connector.report_refusal()
            return self._attempt_again(connection, work, retry=retry)
        finally:
            self._release(connection)

    def _attempt_again(self, connection: Connection, work: Callable[[redis.Connection], Any], *, retry: bool) -> Any:
        for pause in BACKOFF[:-1]:
            time.sleep(pause)
            try:
                return self._attempt(connection, work, retry=retry)
            except redis_errors.RedisError as error:
                if error_code(error) not in _NOT_EXECUTED:
                    raise
        time.sleep(BACKOFF[-1])
        return self._attempt(connection, work, retry=retry)

    def _attempt(self, connection: Connection, work: Callable[[redis.Connection], Any], *, retry: bool) -> Any:
        # Outside the block below: connecting has made its attempts, and only what was sent is sent again.
        raw = connection.ready()
        connection.has_unread_reply = True  # until it is read, whatever interrupts that
        try:
            result = work(raw)
            connection.require_current()
        except KombuPoolError:
            connection.has_unread_reply = False
            raise
        except redis_errors.ResponseError as error:
            if error_code(error) not in _NOT_EXECUTED:
                connection.has_unread_reply = False  # else the master may be another one by now
            raise
        except (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError) as error:
            self._report_timeout(error)
            if not retry or error_code(error) in _NOT_EXECUTED:
                raise
        else:
            connection.has_unread_reply = False
            return result
        return self._attempt(connection, work, retry=False)

    def _report_timeout(self, error: BaseException | None) -> None:
        if isinstance(error, (redis_errors.TimeoutError, TimeoutError)):
            self._connector.report_timeout()

    def _run(self, raw: redis.Connection, script: Script, arguments: tuple[Any, ...]) -> Any:
        try:
            return self._execute(raw, script, ("EVALSHA", script.sha, *arguments))
        except redis_errors.NoScriptError:
            return self._execute(raw, script, ("EVAL", script.text, *arguments))

    def _execute(self, raw: redis.Connection, script: Script, command: tuple[Any, ...]) -> Any:
        required = self.location.min_replicas
        if not required or not script.replicated:
            if script.busy_wait and self.location.busy_wait:
                return execute_busy_waiting(raw, command, self.location.busy_wait)
            return execute(raw, command)
        timeout = self.location.min_replicas_timeout
        reply, replicas = execute_all(raw, [command, ("WAIT", required, int(timeout * 1000))])
        if replicas < required and reply not in _NOTHING_STORED:
            raise ConnectionError(
                f"{self.location}: the write is stored, but only {replicas} of min_replicas={required} "
                f"replica(s) confirmed it within {timeout} s"
            )
        return reply

    def calls_where_reachable(self, script: Script, each: Sequence[tuple[Sequence[bytes], Sequence[Any]]]) -> list[Any]:
        """Do what :meth:`calls` does; the reply of a node that is unreachable while others answer is None."""
        return self.calls(script, each)

    def node_of(self, key: bytes) -> str | None:
        """Return the node of a key, if there are several. No request is made."""
        return None

    @contextmanager
    def errors_of_node(self, key: bytes | str) -> Iterator[None]:
        """Raise our errors in place of the client's; PartUnavailable if other nodes than that of the key answer."""
        with translated(self.location):
            yield

    # Connections.

    @contextmanager
    def blocking_connection(self, key: bytes) -> Iterator[Connection]:
        """Give a connection to the node of the key for blocking commands; those for other commands must not block."""
        self._reset_after_fork()
        try:
            connection = self._blocking.pop()
        except IndexError:
            connection = self._new_connection("watch:")
            with self._lock:
                self._waiting.add(connection)
        try:
            with translated(self.location):
                yield connection
        except BaseException as error:
            connection.disconnect()
            self._report_timeout(error.__cause__)
            raise
        finally:
            connection.mark_used()
            if self._closed:
                connection.disconnect()
            self._blocking.append(connection)

    def close(self) -> None:
        """Close the idle connections now and the others on their release. Idempotent."""
        if self._pid == os.getpid():
            self._closed = True
            self._connector.close()
            for connection in [*self._idle, *self._blocking]:
                connection.disconnect()

    def _acquire(self) -> Connection:
        if self._pid != os.getpid():
            self._reset_after_fork()
        try:
            return self._idle.pop()
        except IndexError:
            return self._acquire_new()

    def _acquire_new(self) -> Connection:
        """Return a new connection, or one that was released when there are ``max_connections``."""
        until = time.monotonic() + 2 * self.location.socket_timeout
        with self._lock:
            self._waiters += 1
            try:
                while True:
                    with suppress(IndexError):
                        return self._idle.pop()
                    if len(self._connections) < self.location.max_connections:
                        connection = self._new_connection("")
                        self._connections.add(connection)
                        return connection
                    self._await_release(until - time.monotonic())
            finally:
                self._waiters -= 1

    def _await_release(self, timeout: float) -> None:
        if timeout <= 0:
            raise ConnectionError(f"{self.location}: all max_connections={self.location.max_connections} are busy")
        self._released.wait(min(timeout, _LOSS_CHECK_INTERVAL))

    def _release(self, connection: Connection) -> None:
        connection.mark_used()
        if self._closed or connection.has_unread_reply:
            connection.disconnect()
        self._idle.append(connection)
        if self._waiters:
            with self._lock:
                self._released.notify()

    def _new_connection(self, purpose: str) -> Connection:
        return Connection(self._connector, purpose, self.location.health_check_interval)

    def _end_outdated(self) -> None:
        """Have all connections leave a former master at once."""
        with self._lock:
            connections = [*self._connections, *self._waiting]
        for connection in connections:
            connection.end_outdated()

    def _reset_after_fork(self) -> None:
        if self._pid != os.getpid():
            # Kept without use: closing the parent's sockets would shut them down for the parent too.
            self._inherited = (self._idle, self._blocking)
            self._connector.reset_after_fork()
            self._start()

    def renew_lock(self) -> None:
        # Not the condition's own lock: it is entered in Python, where a signal handler may leave it locked.
        self._lock = threading.Lock()
        self._released = threading.Condition(self._lock)
        self._waiters = 0
        self._connector.renew_lock()
