"""Waiting for something to claim: asleep in Redis until a bell rings, a delay or a claim ends, or somebody interrupts.

A bell is a list that a script puts one entry into when there is something to claim and nobody was woken for it yet.
Redis gives the entry to whoever has waited longest, so that one publish wakes one consumer, whose claim rings again if
it leaves something.
"""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING, Any

from kombu_pool.clock import SystemClock
from kombu_pool.drivers.redis.addresses import WAIT
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.storage import Watch as Contract

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Connection

    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import Project

LOOK = script("look", repeatable=True)
#: A clock that is not the server's may be moved at any time.
_FOREIGN_CLOCK = 0.02
#: Less than what a server's timer can tell.
_SHORTEST = 0.001


class Watch(Contract):
    """Watches queues of one Redis."""

    def __init__(self, store: Store, queues: Iterable[tuple[Project, str]]) -> None:
        self._store = store
        self._keys = [store.keys(project, name) for project, name in queues]
        self._interrupted = False
        self._closed = False
        self._listening: Connection | None = None
        self._pid = os.getpid()

    def wait(self, timeout: float) -> bool:
        if self._pid != os.getpid():
            self._listening, self._pid = None, os.getpid()
        deadline = time.monotonic() + timeout
        while not self._closed:
            ready, due = self._look()
            if self._was_interrupted() or ready:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._listen(min(left, WAIT), due):
                return True
        return False

    def interrupt(self) -> None:
        self._interrupted = True
        listening = self._listening
        if listening is not None and self._pid == os.getpid():
            # Heard at once by the thread that waits for it, whether or not the server answers.
            listening.disconnect()

    def close(self) -> None:
        self._closed = True
        self.interrupt()

    def _was_interrupted(self) -> bool:
        was, self._interrupted = self._interrupted, False
        return was

    def _look(self) -> tuple[bool, float]:
        """Tell whether there is something to claim, and else in how many seconds there may be."""
        now = self._store.now()
        answers = self._store.link.calls(LOOK, [(keys.settling, (now,)) for keys in self._keys])
        if 1 in answers:
            return True, 0.0
        due = min((float(answer) for answer in answers if answer), default=math.inf)
        if not isinstance(self._store.clock, SystemClock):
            due = min(due, _FOREIGN_CLOCK)
        return False, max(due, _SHORTEST)

    def _listen(self, seconds: float, due: float) -> bool:
        """Wait for a bell, for so long, or until something is due; tell whether one rang or somebody interrupted."""
        if not self._keys:
            time.sleep(min(seconds, _FOREIGN_CLOCK))
            return False
        with self._store.link.waiting(self._keys[0].bell) as wire:
            connection = wire.ready()
            try:
                self._listening = connection
                return self._hear(connection, seconds, due)
            except Exception:
                if self._was_interrupted():
                    return True
                raise
            finally:
                self._listening = None
                if due <= seconds:
                    wire.drop()

    def _hear(self, connection: Connection, seconds: float, due: float) -> bool:
        self._ask(connection, seconds)
        if self._interrupted:
            connection.disconnect()
            return self._was_interrupted()
        # The server's own timer is coarse: what is due is waited for by ours.
        if due < seconds and not connection.can_read(due):
            connection.disconnect()
            return False
        return connection.read_response() is not None

    def _ask(self, connection: Connection, seconds: float) -> None:
        bells: list[Any] = [keys.bell for keys in self._keys]
        command = ("BLPOP", *bells, max(seconds, _SHORTEST))
        connection.send_packed_command(connection.pack_command(*command), check_health=False)
