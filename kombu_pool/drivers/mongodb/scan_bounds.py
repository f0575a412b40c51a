"""From where on this process looks for what is free or due in a queue.

A replica set keeps the index entries of what was deleted for minutes, and whoever looks for the first message in line
steps over all of them. What was posted stands in line by its time, though. So where all was looked at before, nothing
new appears but what comes late; and what comes back to the line is in a state of its own, in which there is little.
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

#: Seconds by which a message may be late: from when it got its number to when it is there for all to see, or from when
#: it is due to when that is written. Who posts and was slower puts it where everybody looks.
MARGIN: Final = 0.5
#: Seconds after which who posts takes it that he was slower: the clocks of two processes never differ by the rest.
LATE: Final = 0.4
#: Seconds between two looks everywhere, for what was later than that all the same; and how many times as long as such a
#: look took it is left at the others, within limits: it may have waited for a primary.
_PERIOD = 1.0
_RARITY = 50
_LONGEST_PERIOD = 10.0
#: Seconds for which who does nothing but lend may miss a claim that is over: so many times as long as it takes to look
#: for such, within these.
_SHARE = 10
_JUST, _LONG = 0.05, 1.0
#: Seconds for which the server keeps what is gone, as it comes; after how many messages that matters; and how far ahead
#: of now a fence among what waits is kept, at the least and at the most: until the next look for what is due, and more.
_MEMORY = 300.0
_MANY = 100
_NEAR, _FAR = 1.2, 2.5
#: Priorities of a queue that are told apart.
_PRIORITIES = 16
_LAST_BYTE = 255


class Bounds(NamedTuple):
    """Where one look looks."""

    #: The filters of those that are in line since they were posted, in order: one for each range of ids, for a range
    #: of several parts is not what the server looks for in an index.
    posted: tuple[Filter, ...]
    #: The condition of the time at which a delay or a claim was over.
    due: dict[str, float]


FULL_RANGE: Final = Bounds(({},), {})


class ScanBounds:
    """What one process knows of one queue in one of its lives. Only a guess of where to look, so it needs no lock."""

    def __init__(self) -> None:
        #: By the first byte of ids, which is their priority's: the number below which none is in line.
        self._numbers: dict[int, int] = {}
        self._settled = float("-inf")
        self._settled_for = 0.0, 0.0
        self._awaited = math.inf
        self._last = float("-inf")
        self._everywhere_at = float("-inf")
        self._lent = 0
        self._busy_until = self._fenced_until = float("-inf")
        #: Whether messages may be back in line.
        self.has_back = False
        #: What was seen behind the first.
        self.read_ahead = ReadAhead()
        #: Who takes messages from the queue at the same time.
        self.contention = Contention()

    def begin(self, now: float) -> Bounds:
        """Return where to look now: now and then everywhere."""
        # Threads that share it, and a clock that is measured again, differ by a little.
        is_back_in_time, self._last = now < self._last - MARGIN, now
        return FULL_RANGE if is_back_in_time or time.monotonic() >= self._everywhere_at else self.bounds

    @property
    def bounds(self) -> Bounds:
        """Where there may be something."""
        parts: list[Filter] = []
        beyond: Filter = {}
        for first, number in sorted(self._numbers.items()):
            parts.append({"_id": {**beyond, "$lt": codec.smallest_id(first)}})
            beyond = {"$gte": codec.smallest_id(first, number)}
        return Bounds((*parts, {"_id": beyond} if beyond else {}), {"$gt": self._settled})

    def lent(self, count: int, now: float) -> None:
        """Note that messages were lent."""
        self._lent += count
        if self._lent >= _MANY:
            self._lent, self._busy_until = 0, now + _MEMORY

    def is_busy(self, now: float) -> bool:
        """Tell whether so much was lent lately that the server steps over it."""
        return now < self._busy_until

    def fence(self, now: float) -> float | None:
        """Return until when a fence is to stand among what waits; None: it does, or need not."""
        if not self.is_busy(now) or now + _NEAR < self._fenced_until:
            return None
        self._fenced_until = now + _FAR
        return self._fenced_until

    def is_settled(self, now: float) -> bool:
        """Tell whether it was just seen that nothing is due."""
        since, until = self._settled_for
        return since <= now < until

    def expect_due(self, at: float = float("-inf")) -> None:
        """Note that something will be due then, or is: who lends after that is to look for it."""
        self._awaited = min(self._awaited, at)
        since, until = self._settled_for
        self._settled_for = since, min(until, at)

    def advance(self, now: float, seconds: float) -> None:
        """Note that nothing is due, and how long it took to see that."""
        self._settled = now - MARGIN
        # Another thread may have noted something since the look began.
        if self._awaited <= now:
            self._awaited = math.inf
        self._settled_for = now, min(self._awaited, now + min(_LONG, max(_JUST, _SHARE * seconds)))

    def passed(self, bounds: Bounds, first: bytes | None, now: float) -> bool:
        """Note the first of those that are in line since they were posted; None: none is.

        Returns:
            Whether it is the first of its priority that was seen.
        """
        latest = codec.number_at(now - MARGIN)
        priority = _LAST_BYTE + 1 if first is None else first[0]
        # What a look everywhere says holds whatever was noted before, by another clock perhaps.
        before = {} if bounds is FULL_RANGE else self._numbers
        numbers = {
            other: max(before.get(other, 0), latest) if other < priority else number
            for other, number in self._numbers.items()
        }
        if first is not None and (priority in numbers or len(numbers) < _PRIORITIES):
            numbers[priority] = max(before.get(priority, 0), min(latest, codec.number_of(first)))
        is_new = len(numbers) > len(self._numbers)
        self._numbers = numbers
        return is_new

    def ended(self, bounds: Bounds, seconds: float) -> None:
        """Note how long a look took."""
        if bounds is FULL_RANGE:
            self._everywhere_at = time.monotonic() + max(_PERIOD, min(_RARITY * seconds, _LONGEST_PERIOD))
