"""The recent points of each queue, for small charts; its memory is bounded."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kombu_pool.metrics.sample import Sample
    from kombu_pool.operator.queues import QueueRow

#: Points of each queue: an hour at 5 s each.
MAX_POINTS = 720
#: Bound of the points of all queues, of 24 bytes each; with more than 1,388 queues each has fewer than ``MAX_POINTS``.
MAX_TOTAL = 1_000_000
#: Points beyond its bound that an array may have until they are removed together.
_SLACK = 60


class Point(NamedTuple):
    """A queue at one time, ``at`` seconds since the epoch; None is unknown.

    Ages are in seconds, rates in messages a second since the point before. Numbers are rounded to 24 bits.
    """

    at: float
    ready: float | None
    delayed: float | None
    claimed: float | None
    oldest_age: float | None
    rate_in: float | None
    rate_out: float | None


_WIDTH = len(Point._fields) - 1


class History:
    """The last points of the queues of the newest sample; a queue that it has not is dropped."""

    def __init__(self, max_points: int = MAX_POINTS, max_total: int = MAX_TOTAL) -> None:
        self._max_points = max_points
        self._max_total = max_total
        self._times = array("d")
        #: By queue: the values of its points, one after the other; the last one belongs to the last time.
        self._values: dict[str, array[float]] = {}

    def add(self, sample: Sample) -> None:
        """Add a point to each queue of a sample."""
        former, self._values = self._values, {}
        self._times.append(sample.at)
        for row in sample.report.queues:
            values = self._values[row.queue] = former.get(row.queue) or array("f")
            values.extend(_values(row))
        limit = self._limit()
        _trim(self._times, limit)
        for values in self._values.values():
            _trim(values, limit * _WIDTH)

    def points(self, queue: str) -> list[Point]:
        """Return the points of a queue, the oldest first; none of an unknown queue."""
        values = self._values.get(queue, array("f"))
        count = min(len(values) // _WIDTH, self._limit())
        last = values[len(values) - count * _WIDTH :]
        times = self._times[len(self._times) - count :]
        return [Point(at, *map(_known, last[place * _WIDTH : (place + 1) * _WIDTH])) for place, at in enumerate(times)]

    def _limit(self) -> int:
        return min(self._max_points, max(1, self._max_total // max(1, len(self._values))))


def _values(row: QueueRow) -> list[float]:
    values = (row.ready, row.delayed, row.claimed, row.oldest_age, row.rate_in, row.rate_out)
    return [math.nan if value is None else value for value in values]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _trim(values: array[float], limit: int) -> None:
    if len(values) > limit + _SLACK * _WIDTH:
        del values[: len(values) - limit]
