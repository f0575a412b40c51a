"""Waiting until a queue may have something to claim."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from kombu_pool.storage import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.store import DataStore, Scope

#: Longest wait for a deadline before the clock is read again, in seconds: it may differ from the clock of the wait.
MAX_WAIT = 0.5


class MemoryWatch(Watch):
    """A condition on the store's own lock, so that nothing changes between the check and the wait."""

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
            while not self._is_woken(self._clock.time()):
                remaining = until - time.monotonic()
                if remaining <= 0:
                    return False
                self._changed.wait(min(remaining, self._next_check()))
            self._woken = False
            return True

    def wake(self) -> None:
        """Wake the watch. The caller holds the store's lock."""
        self._woken = True
        self._changed.notify()

    def interrupt(self) -> None:
        with self._changed:
            self.wake()

    def close(self) -> None:
        with self._store.lock:
            for scope in self._scopes:
                self._store.drop_watch(scope, self)

    def _is_woken(self, now: float) -> bool:
        """Advance the queues, which may wake this watch; return whether it is woken."""
        for scope in self._scopes:
            self._store.find(*scope, now)
        return self._woken

    def _next_check(self) -> float:
        """Return the seconds until time alone may change a queue, at most ``MAX_WAIT`` if there is a deadline."""
        backlogs = [self._store.queues[scope].backlog for scope in self._scopes if scope in self._store.queues]
        first = min((backlog.next_deadline() for backlog in backlogs), default=float("inf"))
        if first == float("inf"):
            return threading.TIMEOUT_MAX
        return min(MAX_WAIT, max(0.001, first - self._clock.time()))
