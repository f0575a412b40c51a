"""Samples of the queues, which all pages share."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from kombu_pool.operator.rates import compared, look

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu_pool.operator.broker import Broker
    from kombu_pool.operator.queues import QueueReport
    from kombu_pool.operator.rates import Look

#: Samples of a queue that are kept.
MAX_POINTS = 60
#: Queues of which samples are kept.
_MAX_QUEUES = 5000


class Sampler:
    """Takes a sample when one is asked for and the last one is older than ``every`` seconds; the others wait for it."""

    def __init__(self, broker: Callable[[], Broker], every: float) -> None:
        self._broker = broker
        self.every = every
        self._lock = threading.Lock()
        self._look: Look | None = None
        self._report: QueueReport | None = None
        self._points: dict[str, deque[int | None]] = {}
        #: The number of samples that were taken.
        self.count = 0

    def latest(self) -> QueueReport:
        """Return all queues, Celery's own ones too, with the rates since the sample before.

        Raises:
            KombuPoolError: the control store does not answer.
        """
        with self._lock:
            report = self._report
            if report is None or self._look is None or time.monotonic() - self._look.at >= self.every:
                report = self._report = self._sample()
            return report

    def points(self, queue: str) -> Sequence[int | None]:
        """Return the number of messages of a queue in the last samples, the oldest first; None is unknown."""
        return tuple(self._points.get(queue, ()))

    def _sample(self) -> QueueReport:
        broker = self._broker()
        last = look(broker.store, broker.project, internal=True)
        report = last.report if self._look is None else compared(self._look, last)
        self._look, self.count = last, self.count + 1
        kept = {
            row.queue: self._points.get(row.queue) or deque(maxlen=MAX_POINTS)
            for row in last.report.queues[:_MAX_QUEUES]
        }
        for row in last.report.queues[:_MAX_QUEUES]:
            kept[row.queue].append(row.total)
        self._points = kept
        return report
