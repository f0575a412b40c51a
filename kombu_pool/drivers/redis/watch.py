"""Waiting for something to claim: asleep in Redis until it rings, a delay or a claim ends, or somebody interrupts.

A bell is a list that a script puts one entry into when there is something to claim and nobody was woken for it yet.
Redis gives the entry to whoever has waited longest, so that one publish wakes one consumer, whose claim rings again if
it leaves something. In a Redis Cluster nobody can wait for lists of several queues at once: there the scripts publish
to a channel of the queue's, which wakes all who wait.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from abc import abstractmethod
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from kombu_pool.clock import SystemClock
from kombu_pool.drivers.redis.connection import ask
from kombu_pool.drivers.redis.connector import WAIT
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.storage import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis import Connection

    from kombu_pool.drivers.redis.connection import Wire
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import Project

_LOOK = script("peek", repeatable=True, writes=False)
#: A clock that is not the server's may be moved at any time.
_FOREIGN_CLOCK = 0.02
#: Less than what a server's timer can tell.
_SHORTEST = 0.001


class RedisWatch(Watch):
    """Looks at the queues, and listens for news of them while there is nothing."""

    def __init__(self, store: Store, queues: Iterable[tuple[Project, str]]) -> None:
        self._store = store
        self._keys = [store.keys(project, name) for project, name in queues]
        self._interrupted = False
        self._closed = False
        self._listening: Connection | None = None
        # Held where that connection is hung up, and where it is given away: then its socket may be another's.
        self._interrupting = threading.RLock()
        self._pid = os.getpid()

    def wait(self, timeout: float) -> bool:
        self._check_process()
        deadline = time.monotonic() + timeout
        while not self._closed:
            self._prepare()
            ready, due = self._look()
            if self._was_interrupted() or ready:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            try:
                if self._listen(min(left, WAIT), due):
                    return True
            except Exception:
                if not self._was_interrupted():
                    raise
                return True
        return False

    def interrupt(self) -> None:
        if self._pid != os.getpid():
            self._interrupted = True
            return
        with self._interrupting:
            self._interrupted = True
            if self._listening is not None:
                # Heard at once by the thread that waits for it, whether or not the server answers.
                _hang_up(self._listening)

    def close(self) -> None:
        self._closed = True
        self.interrupt()

    @abstractmethod
    def _listen(self, seconds: float, due: float) -> bool:
        """Listen for so long, or until something is due; tell whether there was news. Interrupted, it may raise."""

    def _prepare(self) -> None:
        """Do what has to be done before a look, for nothing to be missed after it."""

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            self._pid, self._listening, self._closed = os.getpid(), None, False
            self._interrupting = threading.RLock()

    def _was_interrupted(self) -> bool:
        with self._interrupting:
            was, self._interrupted = self._interrupted, False
            return was

    def _look(self) -> tuple[bool, float]:
        """Tell whether there is something to claim, and else in how many seconds there may be."""
        now = self._store.now()
        answers = self._store.link.calls(_LOOK, [(keys.states, (now,)) for keys in self._keys])
        if 1 in answers:
            return True, 0.0
        due = min((float(answer) for answer in answers if answer), default=math.inf)
        if not isinstance(self._store.clock, SystemClock):
            due = min(due, _FOREIGN_CLOCK)
        return False, max(due, _SHORTEST)


class BellWatch(RedisWatch):
    """Waits for the bells of the queues."""

    def _listen(self, seconds: float, due: float) -> bool:
        if not self._keys:
            time.sleep(min(seconds, _FOREIGN_CLOCK))
            return False
        with self._store.link.waiting(self._keys[0].wakeup) as wire, self._hung_up_when_interrupted(wire) as connection:
            return self._hear(wire, connection, seconds, due)

    @contextmanager
    def _hung_up_when_interrupted(self, wire: Wire) -> Iterator[Connection]:
        connection = wire.ready()
        with self._interrupting:
            self._listening = connection
            if self._interrupted:
                _hang_up(connection)
        try:
            yield connection
        finally:
            with self._interrupting:
                self._listening = None
            # Before the next look: what rings for a connection that nobody listens to rings for nobody.
            if self._interrupted or wire.owes:
                wire.drop()

    def _hear(self, wire: Wire, connection: Connection, seconds: float, due: float) -> bool:
        bells: list[Any] = [keys.wakeup for keys in self._keys]
        command = connection.pack_command("BLPOP", *bells, repr(max(seconds, _SHORTEST)))
        connection.send_packed_command(command, check_health=False)
        # The server's own timer is coarse: what is due is waited for by ours.
        if due < seconds and not connection.can_read(due):
            wire.owes = True
            return False
        return connection.read_response() is not None


class ChannelWatch(RedisWatch):
    """Subscribes to the channels of the queues, on a connection that it keeps until it is closed."""

    def __init__(self, store: Store, queues: Iterable[tuple[Project, str]]) -> None:
        super().__init__(store, queues)
        self._lent = ExitStack()
        self._waiting = threading.Lock()

    def wait(self, timeout: float) -> bool:
        self._check_process()
        with self._waiting:
            return super().wait(timeout)

    def close(self) -> None:
        super().close()
        if self._pid == os.getpid():
            with self._waiting:
                self._lent.close()

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            self._inherited, self._lent = self._lent, ExitStack()
            self._waiting = threading.Lock()
        super()._check_process()

    def _was_interrupted(self) -> bool:
        with self._interrupting:
            was = super()._was_interrupted()
            if was:
                self._forget()
            return was

    def _forget(self) -> None:
        self._listening = None
        self._lent.close()

    def _prepare(self) -> None:
        if self._listening is not None or not self._keys:
            return
        wire = self._lent.enter_context(self._store.link.waiting(self._keys[0].queue))
        self._lent.callback(wire.drop)
        connection = wire.ready()
        for keys in self._keys:
            ask(connection, ("SUBSCRIBE", keys.queue))
        self._listening = connection

    def _listen(self, seconds: float, due: float) -> bool:
        connection = self._listening
        if connection is None:
            time.sleep(min(seconds, _FOREIGN_CLOCK))
            return False
        try:
            return self._hear(connection, min(seconds, due))
        except Exception:
            self._forget()
            raise

    def _hear(self, connection: Connection, seconds: float) -> bool:
        if not connection.can_read(seconds):
            if seconds >= WAIT:
                ask(connection, ("PING",))  # a connection that is dead says nothing either
            return False
        while connection.can_read(0):
            connection.read_response()
        return True


def _hang_up(connection: Connection) -> None:
    """End a connection so that it fails whoever uses it next, or waits for it now.

    One that is closed opens itself again, and is deaf. And who is about to wait for a socket that is closed meanwhile
    waits for whatever has its number by then.
    """
    ended = connection._sock  # noqa: SLF001 - redis-py ends no connection without closing it
    if ended is not None:
        with suppress(OSError):
            ended.shutdown(socket.SHUT_RDWR)
