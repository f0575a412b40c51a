"""One connection to a Redis, which is opened on demand, checked after a pause and replaced when it is lost."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

# redis-py packs with it too; its own wrapper around it takes as long as all the rest of sending a command.
from hiredis import pack_command
from redis import exceptions as redis_errors

from kombu_pool.drivers.redis.error_mapping import CLIENT_ERRORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

#: Pauses between the attempts of one call to connect, in seconds.
BACKOFF = (0.05, 0.2)
#: Idle time after which a connection is checked before use, in seconds: the server may have closed it.
_STALE_AFTER = 0.25
#: Timeout of the PING that checks an idle connection, in seconds; a new connection then has the whole socket timeout.
_PING_TIMEOUT = 2.0

_TEXT_TYPES = frozenset({bytes, str})


class Opener(Protocol):
    """Opens connections to the master."""

    #: Number of the masters so far. A connection of an earlier one is outdated.
    generation: int

    def connect(self, purpose: str) -> tuple[redis.Connection, int]:
        """Return an open connection and its generation."""


class Connection:
    """A redis-py connection, or none until the first use and after :meth:`disconnect`."""

    __slots__ = (
        "__weakref__",
        "_generation",
        "_health_check_interval",
        "_opener",
        "_purpose",
        "_raw",
        "_used_at",
        "has_unread_reply",
    )

    def __init__(self, opener: Opener, purpose: str, health_check_interval: float) -> None:
        self._opener = opener
        self._purpose = purpose
        self._health_check_interval = health_check_interval
        self._raw: redis.Connection | None = None
        self._generation = 0
        self._used_at = 0.0
        #: Whether a command was sent whose reply is unread: the next command would take it for its own.
        self.has_unread_reply = False

    @property
    def is_outdated(self) -> bool:
        """Return whether another server is the master by now."""
        return self._generation != self._opener.generation

    def ready(self) -> redis.Connection:
        """Return the redis-py connection, opened again if it is closed, stale, outdated or has an unread reply."""
        raw = self._raw
        if raw is not None:
            idle = time.monotonic() - self._used_at
            is_usable = not self.has_unread_reply and self._generation == self._opener.generation
            if is_usable and (idle < _STALE_AFTER or self._is_healthy(raw, idle)):
                return raw
            self.disconnect()
        self._raw, self._generation = self._connect()
        return self._raw

    def _connect(self) -> tuple[redis.Connection, int]:
        """Connect, with a few attempts when it is refused: a restarted Redis is back within a moment."""
        for pause in BACKOFF:
            try:
                return self._opener.connect(self._purpose)
            except (redis_errors.AuthenticationError, redis_errors.TimeoutError):
                # A password stays wrong, and a timeout has used the time of this call.
                raise
            except CLIENT_ERRORS:
                time.sleep(pause)
        return self._opener.connect(self._purpose)

    def require_current(self) -> None:
        """Raise what redis-py does for a lost connection if it is outdated: what a former master stores is lost."""
        if self._generation != self._opener.generation:
            raise redis_errors.ConnectionError("another server became the master meanwhile")

    def end_outdated(self) -> None:
        """End the use of an outdated connection, perhaps by another thread, which gets an error."""
        raw = self._raw
        if raw is not None and self.is_outdated:
            shut_down(raw)

    def _is_healthy(self, raw: redis.Connection, idle: float) -> bool:
        try:
            if raw.can_read(0):
                return False  # an end of file, or a reply to no command
            if idle > self._health_check_interval > 0:
                self.has_unread_reply = True
                if not _answers_ping(raw):
                    return False
                self.has_unread_reply = False
        except CLIENT_ERRORS:
            return False
        return True

    def mark_used(self) -> None:
        """Store the time of this use."""
        self._used_at = time.monotonic()

    def disconnect(self) -> None:
        """Close the connection, along with a reply that may be on its way."""
        raw, self._raw = self._raw, None
        self.has_unread_reply = False
        if raw is not None:
            raw.disconnect()


def shut_down(raw: redis.Connection) -> None:
    """Shut a connection's socket down, so that its current or next use fails.

    Closing it would not do: redis-py opens a closed connection again, and a thread that is about to wait for a closed
    socket waits for whichever socket has its number by then.
    """
    ended = raw._sock  # noqa: SLF001 - redis-py ends no connection without closing it
    if ended is not None:
        with suppress(OSError):
            ended.shutdown(socket.SHUT_RDWR)


def _answers_ping(raw: redis.Connection) -> bool:
    raw.send_packed_command(raw.pack_command("PING"), check_health=False)
    if not raw.can_read(min(_PING_TIMEOUT, raw.socket_timeout)):
        return False
    raw.read_response()
    return True


def execute(raw: redis.Connection, command: tuple[Any, ...]) -> Any:
    """Send a command and return its reply."""
    raw.send_packed_command((pack_command(_without_numbers(command)),), check_health=False)
    return raw.read_response()


def execute_busy_waiting(raw: redis.Connection, command: tuple[Any, ...], seconds: float) -> Any:
    """Send a command and return its reply, polling for it first: to sleep and be woken takes longer than a near server.

    A reply that is late costs the processor at most ``seconds``.
    """
    raw.send_packed_command((pack_command(_without_numbers(command)),), check_health=False)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until and not raw.can_read(0):
        pass
    return raw.read_response()


def execute_all(raw: redis.Connection, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send commands in one round trip and return their replies; raise the first error once all are read."""
    replies = execute_each(raw, commands)
    error = next((reply for reply in replies if isinstance(reply, redis_errors.ResponseError)), None)
    if error is not None:
        raise error
    return replies


def execute_each(raw: redis.Connection, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send commands in one round trip and return their replies, errors among them."""
    raw.send_packed_command([pack_command(_without_numbers(command)) for command in commands], check_health=False)
    replies: list[Any] = []
    for _ in commands:
        try:
            replies.append(raw.read_response())
        except redis_errors.ResponseError as error:
            replies.append(error)
    return replies


def _without_numbers(command: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a command of texts: hiredis crashes the process if a signal handler raises while it packs a number."""
    if _TEXT_TYPES.issuperset(map(type, command)):
        return command
    return tuple([part if isinstance(part, (bytes, str)) else repr(part) for part in command])
