"""Rates of the counters of queues, from one request to another: the API starts no sampler, but uses one that runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from kombu_pool.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.clock import Clock
    from kombu_pool.model import Project

#: The shortest time that a rate is taken over once there have been two requests in it, in seconds: as RabbitMQ's.
SPAN = 5.0
#: The shortest time that a rate is taken over at all, in seconds.
_SHORTEST = 1.0
#: Bound of the queues that are remembered; with one more all are forgotten.
_MAX_QUEUES = 100_000


class _Look(NamedTuple):
    """The counters of a queue, and the elapsed time."""

    at: float
    counters: Mapping[str, int]


class CounterRates:
    """The rates of queues between two looks at their counters, at least ``SPAN`` seconds apart if they can be.

    A client that asks every 30 s gets the rates of these 30 s. Thread-safe.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: By queue: the look that rates are taken from, and a later one that takes its place.
        self._looks: dict[tuple[Project, str], tuple[_Look, _Look]] = {}

    def rates(self, scope: tuple[Project, str], counters: Mapping[str, int]) -> dict[str, float]:
        """Return messages a second by counter since an earlier look; without one all are 0."""
        now = self._clock.elapsed()
        with self._lock:
            before = self._before(scope, _Look(now, counters))
        seconds = now - before.at
        if seconds < _SHORTEST:
            return {}
        # The counters begin again when a queue is deleted and created.
        return {
            name: round(max(count - before.counters.get(name, 0), 0) / seconds, 3) for name, count in counters.items()
        }

    def begin(self, project: Project, counters: Mapping[str, Mapping[str, int]], age: float) -> None:
        """Take rates of queues without an earlier look from their counters of ``age`` seconds ago."""
        at = self._clock.elapsed() - age
        with self._lock:
            for queue, counts in counters.items():
                if (project, queue) not in self._looks and len(self._looks) < _MAX_QUEUES:
                    look = _Look(at, counts)
                    self._looks[project, queue] = (look, look)

    def _before(self, scope: tuple[Project, str], look: _Look) -> _Look:
        """Return the look to compare with, and keep this one for later."""
        first, last = self._looks.get(scope) or (look, look)
        if look.at - last.at >= SPAN:
            first, last = last, look
        if len(self._looks) >= _MAX_QUEUES and scope not in self._looks:
            self._looks.clear()
        self._looks[scope] = (first, last)
        return first
