"""Subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.subscriptions import SubscriptionController as Contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.store import DataStore
    from kombu_pool.model import Project


class SubscriptionController(Contract):
    """Subscriptions of an in-memory store."""

    def __init__(self, store: DataStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def read(self, project: Project, queue: str) -> tuple[bytes, float]:
        return self._store.subscriptions.get((project, queue), b""), self._clock.time()

    def replace(self, project: Project, queue: str, before: bytes, after: bytes, ends: Sequence[float]) -> bool:
        with self._store.lock:
            if self._store.subscriptions.pop((project, queue), b"") != before:
                return False
            if after:
                self._store.subscriptions[project, queue] = after
            return True

    def collect_all(self) -> int:
        """Delete the expired subscriptions of all queues; return their number."""
        return sum(self.collect(*scope) for scope in list(self._store.subscriptions))
