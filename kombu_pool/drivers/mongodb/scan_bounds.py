"""The ranges of ids and times in which one process scans one queue.

A replica set keeps the index entries of deleted messages for minutes, and a search for the first free message steps
over all of them. New messages are ordered by the time of their post, though. So below the first free message of the
last scan only late posts appear, and a released message gets a state of its own, in which there are few.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from kombu_pool.drivers.mongodb import codec
from kombu_pool.drivers.mongodb.contention import Contention
from kombu_pool.drivers.mongodb.read_ahead import ReadAhead

if TYPE_CHECKING:
    from kombu_pool.drivers.mongodb.states import Filter

#: Bound of a message's delay from its id to its visibility, or from its due time to the write of that time, in seconds.
#: A producer that takes longer stores its messages in the state of released ones, which every scan includes.
MARGIN: Final = 0.5
#: Time after which a producer counts as that late, in seconds; the rest of the margin exceeds the difference between
#: the clocks of two processes.
LATE: Final = 0.4
#: Interval between scans of the full range, which find what is later than the margin, in seconds; the multiple of their
#: duration that the interval has at least; and the bound of that, as a scan may have waited for a primary.
_FULL_SCAN_INTERVAL = 1.0
_FULL_SCAN_FACTOR = 50
_MAX_FULL_SCAN_INTERVAL = 10.0
#: Interval between checks for due messages in a process that only claims: this multiple of a check's duration, within
#: these bounds in seconds.
_DUE_CHECK_FACTOR = 10
_MIN_DUE_CHECK_INTERVAL, _MAX_DUE_CHECK_INTERVAL = 0.05, 1.0
#: Time for which the server keeps entries of deleted messages, in seconds, and the number of claims from which on they
#: matter.
_ENTRY_LIFETIME = 300.0
_BUSY_CLAIMS = 100
#: Minimum and new distance of the due sentinel from now, in seconds: both exceed the interval of the checks.
_SENTINEL_MIN_DISTANCE, _SENTINEL_DISTANCE = 1.2, 2.5
#: Bound of the priorities of a queue that have a bound of their own.
_MAX_PRIORITIES = 16
_LAST_BYTE = 255


class ScanRange(NamedTuple):
    """The range of one scan."""

    #: Filters of the new free messages in their order. Several, as the server searches an index for one range of ids,
    #: but not for a union of them.
    free: tuple[Filter, ...]
    #: Condition of the end of a delay or a claim.
    due: dict[str, float]


FULL_RANGE: Final = ScanRange(({},), {})


class ScanBounds:
    """The scan bounds of a queue's incarnation in one process; guesses, which need no lock."""

    def __init__(self) -> None:
        #: By an id's first byte, which is its priority's: the number below which no new message is free.
        self._numbers: dict[int, int] = {}
        self._due_checked_until = float("-inf")
        self._no_due_interval = 0.0, 0.0
        self._next_due = math.inf
        self._last = float("-inf")
        self._full_scan_at = float("-inf")
        self._claimed = 0
        self._busy_until = self._sentinel_at = float("-inf")
        #: Whether released messages may be free.
        self.has_returned = False
        self.read_ahead = ReadAhead()
        self.contention = Contention()

    def next_range(self, now: float) -> ScanRange:
        """Return the range of the next scan: the full one at intervals."""
        # Threads that share this, and a clock that is measured again, differ by less than the margin.
        is_back_in_time, self._last = now < self._last - MARGIN, now
        return FULL_RANGE if is_back_in_time or time.monotonic() >= self._full_scan_at else self.narrow_range

    @property
    def narrow_range(self) -> ScanRange:
        """The range outside which there are only late messages."""
        parts: list[Filter] = []
        beyond: Filter = {}
        for first, number in sorted(self._numbers.items()):
            parts.append({"_id": {**beyond, "$lt": codec.smallest_id(first)}})
            beyond = {"$gte": codec.smallest_id(first, number)}
        return ScanRange((*parts, {"_id": beyond} if beyond else {}), {"$gt": self._due_checked_until})

    def record_claimed(self, count: int, now: float) -> None:
        """Record that messages were claimed."""
        self._claimed += count
        if self._claimed >= _BUSY_CLAIMS:
            self._claimed, self._busy_until = 0, now + _ENTRY_LIFETIME

    def is_busy(self, now: float) -> bool:
        """Return whether the server has many entries of claimed messages to step over."""
        return now < self._busy_until

    def next_sentinel(self, now: float) -> float | None:
        """Return the time to move the due sentinel to; None if it is far enough ahead, or not needed."""
        if not self.is_busy(now) or now + _SENTINEL_MIN_DISTANCE < self._sentinel_at:
            return None
        self._sentinel_at = now + _SENTINEL_DISTANCE
        return self._sentinel_at

    def has_no_due(self, now: float) -> bool:
        """Return whether a recent check showed that no message is due."""
        since, until = self._no_due_interval
        return since <= now < until

    def expect_due(self, at: float = float("-inf")) -> None:
        """Record that a message is due at a time, or now: the first claim after it checks."""
        self._next_due = min(self._next_due, at)
        since, until = self._no_due_interval
        self._no_due_interval = since, min(until, at)

    def record_no_due(self, now: float, seconds: float) -> None:
        """Record that a check, which took ``seconds``, found no due message."""
        self._due_checked_until = now - MARGIN
        # Another thread may have recorded a due message since the check began.
        if self._next_due <= now:
            self._next_due = math.inf
        interval = min(_MAX_DUE_CHECK_INTERVAL, max(_MIN_DUE_CHECK_INTERVAL, _DUE_CHECK_FACTOR * seconds))
        self._no_due_interval = now, min(self._next_due, now + interval)

    def record_first(self, scan_range: ScanRange, first: bytes | None, now: float) -> bool:
        """Record the first of the new free messages; None: there is none.

        Returns:
            Whether it is the first of its priority that was seen.
        """
        latest = codec.number_at(now - MARGIN)
        priority = _LAST_BYTE + 1 if first is None else first[0]
        # A full scan overrides earlier bounds, which may stem from another clock.
        before = {} if scan_range is FULL_RANGE else self._numbers
        numbers = {
            other: max(before.get(other, 0), latest) if other < priority else number
            for other, number in self._numbers.items()
        }
        if first is not None and (priority in numbers or len(numbers) < _MAX_PRIORITIES):
            numbers[priority] = max(before.get(priority, 0), min(latest, codec.number_of(first)))
        is_new = len(numbers) > len(self._numbers)
        self._numbers = numbers
        return is_new

    def record_duration(self, scan_range: ScanRange, seconds: float) -> None:
        """Record the duration of a scan."""
        if scan_range is FULL_RANGE:
            interval = max(_FULL_SCAN_INTERVAL, min(_FULL_SCAN_FACTOR * seconds, _MAX_FULL_SCAN_INTERVAL))
            self._full_scan_at = time.monotonic() + interval
