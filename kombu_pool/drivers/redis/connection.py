"""One connection to a Redis, which is opened, tried out and opened again as need be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

# What redis-py packs with, too; its own way there takes as long as all the rest of sending a command.
from hiredis import pack_command
from redis import exceptions as redis_errors

from kombu_pool.drivers.redis.error_mapping import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Connection

    from kombu_pool.drivers.redis.busy_wait import Vigil

#: Seconds between the attempts to connect that one call makes.
BACKOFF = (0.05, 0.2)
#: Seconds without use after which a connection is looked at before it is trusted: the server may have closed it.
_STALE = 0.25
#: Seconds to wait for the sign of life of such a connection; a new one then gets all the time that there is.
_LIFE = 2.0

_TEXTS = frozenset({bytes, str})


class Wire:
    """A redis-py connection, or the place of one."""

    __slots__ = ("__weakref__", "_check_after", "_connection", "_open", "_used", "owes")

    def __init__(self, open_connection: Callable[[], Connection], check_after: float) -> None:
        self._open = open_connection
        self._check_after = check_after
        self._connection: Connection | None = None
        self._used = 0.0
        #: Whether there was a question whose answer nobody has read: the next one would take it for its own.
        self.owes = False

    def ready(self) -> Connection:
        """Return the connection, open and as sound as one can tell."""
        connection = self._connection
        if connection is not None:
            idle = time.monotonic() - self._used
            if not self.owes and (idle < _STALE or self._is_sound(connection, idle)):
                return connection
            self.drop()
        self._connection = self._connect()
        return self._connection

    def _connect(self) -> Connection:
        """Connect; when it is refused, with a few attempts: a Redis that is restarted is back in a moment."""
        for pause in BACKOFF:
            try:
                return self._open()
            except (redis_errors.AuthenticationError, redis_errors.TimeoutError):
                # A password does not get better, and who has waited for so long has waited enough.
                raise
            except FAULTS:
                time.sleep(pause)
        return self._open()

    def _is_sound(self, connection: Connection, idle: float) -> bool:
        try:
            if connection.can_read(0):
                return False  # an end of file, or an answer that nobody asked for
            if idle > self._check_after > 0:
                self.owes = True
                if not _lives(connection):
                    return False
                self.owes = False
        except FAULTS:
            return False
        return True

    def rest(self) -> None:
        """Note that it was used just now."""
        self._used = time.monotonic()

    def drop(self) -> None:
        """Close the connection: an answer may be on its way that nobody waits for."""
        connection, self._connection = self._connection, None
        self.owes = False
        if connection is not None:
            connection.disconnect()


def _lives(connection: Connection) -> bool:
    connection.send_packed_command(connection.pack_command("PING"), check_health=False)
    if not connection.can_read(min(_LIFE, connection.socket_timeout)):
        return False
    connection.read_response()
    return True


def ask(connection: Connection, command: tuple[Any, ...]) -> Any:
    """Send one command and return its answer."""
    connection.send_packed_command((pack_command(_texts(command)),), check_health=False)
    return connection.read_response()


def ask_awake(connection: Connection, command: tuple[Any, ...], vigil: Vigil) -> Any:
    """Do as :func:`ask` does, and wait awake for a moment."""
    connection.send_packed_command((pack_command(_texts(command)),), check_health=False)
    vigil.keep(connection)
    return connection.read_response()


def ask_all(connection: Connection, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send commands together and return their answers; raises the first error among them, once all are read."""
    answers = ask_each(connection, commands)
    fault = next((answer for answer in answers if isinstance(answer, redis_errors.ResponseError)), None)
    if fault is not None:
        raise fault
    return answers


def ask_each(connection: Connection, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send commands together and return their answers, errors among them."""
    connection.send_packed_command([pack_command(_texts(command)) for command in commands], check_health=False)
    answers: list[Any] = []
    for _ in commands:
        try:
            answers.append(connection.read_response())
        except redis_errors.ResponseError as error:
            answers.append(error)
    return answers


def _texts(command: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a command without numbers: hiredis crashes the process at one when a signal's handler raises meanwhile."""
    if _TEXTS.issuperset(map(type, command)):
        return command
    return tuple([part if isinstance(part, (bytes, str)) else repr(part) for part in command])
