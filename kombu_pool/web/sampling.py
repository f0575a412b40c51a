"""Samples of the queues, which all pages and all processes share."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from kombu_pool.errors import ConnectionError as StoreConnectionError
from kombu_pool.metrics import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu_pool.operator.broker import Broker
    from kombu_pool.operator.queues import QueueReport

#: How long the first page waits for the first sample, and after which time it looks whether there is an error, in
#: seconds.
_FIRST_TIMEOUT, _LOOK_INTERVAL = 5.0, 0.1
#: Points of a chart.
MAX_POINTS = 60


class Samples:
    """The newest sample of the broker; its thread starts at the first use."""

    def __init__(self, broker: Callable[[], Broker], every: float) -> None:
        self._broker = broker
        self._every = every
        self._lock = threading.Lock()
        self._sampler: Sampler | None = None

    def latest(self) -> QueueReport:
        """Return all queues, Celery's own ones too, with the rates since the sample before.

        Raises:
            ConnectionError: the control store has given no sample yet.
            KombuPoolError: the broker cannot be opened.
        """
        sampler = self.sampler
        found, ends = sampler.latest(), time.monotonic() + _FIRST_TIMEOUT
        while found is None and sampler.error is None and time.monotonic() < ends:
            found = sampler.wait(timeout=_LOOK_INTERVAL)
        if found is None:
            raise StoreConnectionError(sampler.error or "The control store has given no sample of the queues yet")
        return found.sample.report

    def points(self, queue: str) -> Sequence[int | None]:
        """Return the number of messages of a queue in the last samples, the oldest first; None is unknown."""
        points = self.sampler.points(queue)[-MAX_POINTS:]
        counts = [(point.ready, point.delayed, point.claimed) for point in points]
        return [None if None in count else int(sum(one or 0 for one in count)) for count in counts]

    @property
    def number(self) -> int:
        """The number of the newest sample."""
        found = None if self._sampler is None else self._sampler.latest()
        return 0 if found is None else found.number

    @property
    def outage(self) -> str | None:
        """Why there is no newer sample; None if there is no reason."""
        return None if self._sampler is None else self._sampler.error

    @property
    def sampler(self) -> Sampler:
        """The sampler of this process, which shares its samples with those of others.

        Raises:
            KombuPoolError: the broker cannot be opened.
        """
        with self._lock:
            if self._sampler is None:
                store, project = self._broker()[:2]
                self._sampler = Sampler(store, project, interval=self._every)
                self._sampler.start()
            return self._sampler

    @property
    def running(self) -> Sampler | None:
        """The sampler, once a page has started it."""
        return self._sampler

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            sampler, self._sampler = self._sampler, None
        if sampler is not None:
            sampler.close()
