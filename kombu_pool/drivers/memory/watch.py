"""Waiting for something to claim."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from kombu_pool.storage import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.store import DataStore, Scope

#: Seconds for which a deadline is waited for at a stretch: the clock may be another than the one that waits.
STRETCH = 0.5


class MemoryWatch(Watch):
    """A condition on the store's own lock, so that nothing happens between looking and waiting."""

    def __init__(self, store: DataStore, clock: Clock, queues: Iterable[Scope]) -> None:
        self._store = store
        self._clock = clock
        self._scopes = frozenset(queues)
        self._changed = threading.Condition(store.lock)
        with store.lock:
            for scope in self._scopes:
                store.add_watch(scope, self)
            now = clock.time()
            self._woken = any(
                found.backlog.count_free() for scope in self._scopes if (found := store.find(*scope, now))
            )

    def wait(self, timeout: float) -> bool:
        until = time.monotonic() + timeout
        with self._changed:
            while not self._settled(self._clock.time()):
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, self._next_look()))
            self._woken = False
            return True

    def wake(self) -> None:
        """Take note that something became free. The caller holds the store's lock."""
        self._woken = True
        self._changed.notify()

    def interrupt(self) -> None:
        with self._changed:
            self.wake()

    def close(self) -> None:
        with self._store.lock:
            for scope in self._scopes:
                self._store.drop_watch(scope, self)

    def _settled(self, now: float) -> bool:
        """Let delays and claims end whose time has come, which may wake this watch; tell whether it is awake."""
        for scope in self._scopes:
            self._store.find(*scope, now)
        return self._woken

    def _next_look(self) -> float:
        """Return the seconds until one of the queues may change by time alone."""
        backlogs = [self._store.queues[scope].backlog for scope in self._scopes if scope in self._store.queues]
        first = min((backlog.next_deadline() for backlog in backlogs), default=float("inf"))
        if first == float("inf"):
            return threading.TIMEOUT_MAX
        return min(STRETCH, max(0.001, first - self._clock.time()))
