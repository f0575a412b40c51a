"""A queue as one process knows it: every guess that a post, a claim or a watch makes about the queue, in one object.

The queue's document is read again at intervals. The scan bounds are the ranges of ids and times in which the process
scans. A replica set keeps the index entries of deleted messages for minutes, and a search for the first free message
steps over all of them. New messages are ordered by the time of their post, though. So below the first free message of
the last scan only late posts appear, and a released message gets a state of its own, in which there are few.

A wrong guess costs time. A message that is later than the margin is found by the next full scan, after messages that
follow it. Nothing is lost.
docs/benchmarks.md shows what each one pays.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from kombu_pool.drivers.mongodb import codec
from kombu_pool.storage.moving import is_sealed
from kombu_pool.storage.policy import policy_of

if TYPE_CHECKING:
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Project
    from kombu_pool.storage.policy import Policy

#: How long a post relies on the queue's document, in seconds.
POST_TTL: Final = 0.02
#: How long a claim relies on it, and on the last check for due messages, in seconds.
CLAIM_TTL: Final = 0.1
#: Bound of a message's delay from its id to its visibility, or from its due time to the write of that time, in seconds.
#: A producer that takes longer stores its messages in the state of released ones, which every scan includes.
MARGIN: Final = 0.5
#: Time after which a producer counts as that late, in seconds; the rest of the margin exceeds the difference between
#: the clocks of two processes.
LATE: Final = 0.4
#: Interval between scans of the full range, which find what is later than the margin, in seconds; the multiple of their
#: duration that the interval has at least; and the bound of that, as a scan may have waited for a primary.
FULL_SCAN_INTERVAL: Final = 1.0
_FULL_SCAN_FACTOR: Final = 50
_MAX_FULL_SCAN_INTERVAL: Final = 10.0
#: How long the server chooses the messages of each claim after another process claimed scanned ones, in seconds.
_CONTENTION_TTL: Final = 0.5
#: Number of claimed messages from which on the server's entries of them matter, and how long it keeps them, in seconds.
_BUSY_CLAIMS: Final = 100
_ENTRY_LIFETIME: Final = 300.0
#: Distance of the due sentinel from now when it is moved, in seconds; half of it exceeds the interval of the checks.
_SENTINEL_DISTANCE: Final = 2.5
#: Bound of the priorities of a queue that have a bound of their own.
_MAX_PRIORITIES: Final = 16
_LAST_BYTE: Final = 255


class Queue(NamedTuple):
    """A queue from its creation to its deletion: one incarnation in this store."""

    project: Project
    name: str
    incarnation: bytes
    #: The incarnation of its assignment, which it bears; a process may replace it, and the queue stays.
    assigned: str
    metadata: bytes
    #: Start of the policy that expired messages become dead letters; None without that policy.
    expires_to_dlq_since: float | None
    #: Whether no consumer may claim from it.
    paused: bool

    def __str__(self) -> str:
        return repr(self.name)

    @property
    def policy(self) -> Policy:
        """The policy in its metadata."""
        return policy_of(self.metadata)

    @property
    def scope(self) -> Filter:
        """The filter of its messages."""
        return {"p": codec.project_key(self.project), "q": self.name, "i": self.incarnation}

    @property
    def document_filter(self) -> Filter:
        """The filter of its own document."""
        return {"p": codec.project_key(self.project), "q": self.name, "_id": self.incarnation}

    @property
    def is_sealed(self) -> bool:
        """Whether it is moving to another store, and stores nothing more."""
        return is_sealed(self.assigned)

    def bears(self, assigned: str | None) -> bool:
        """Return whether it bears this incarnation of an assignment; None stands for any."""
        return assigned is None or assigned == self.assigned

    def expires_to_dlq(self, expires: float) -> bool:
        """Return whether a message with this expiry becomes a dead letter by it."""
        return self.expires_to_dlq_since is not None and expires != codec.NEVER


class ScanRange(NamedTuple):
    """The range of one scan."""

    #: Filters of the new free messages in their order. Several, as the server searches an index for one range of ids,
    #: but not for a union of them.
    free: tuple[Filter, ...]
    #: Condition of the end of a delay or a claim.
    due: dict[str, float]


FULL_RANGE: Final = ScanRange(({},), {})


class ScanPlan(NamedTuple):
    """What the next scan of a queue reads."""

    cached: CachedQueue
    #: The queue as the process knows it before the scan.
    queue: Queue
    #: The store's time at the scan.
    now: float
    range: ScanRange
    checks_due: bool
    #: Whether it reads the free messages alone.
    is_quick: bool
    #: Whether the server chooses the messages, as it claims them.
    is_blind: bool


class CachedQueue:
    """One incarnation of a queue. It needs no lock: each attribute is replaced as a whole."""

    def __init__(self, queue: Queue, read_at: float) -> None:
        #: The queue's document, and the monotonic time before it was read.
        self._read = queue, read_at
        #: By an id's first byte, which is its priority's: the number below which no new message is free.
        self._numbers: dict[int, int] = {}
        #: The time of the last check for due messages, and the time up to which it shows that none is due.
        self._no_due = float("-inf"), float("-inf")
        self._next_due = math.inf
        self._full_scan_at = self._contended_until = float("-inf")
        self._claimed = 0
        self._busy_until = self._sentinel_at = float("-inf")

    # The queue's document.

    @property
    def queue(self) -> Queue:
        """The queue as it was last read."""
        return self._read[0]

    def record_read(self, queue: Queue, read_at: float) -> None:
        """Record that the queue was read again."""
        self._read = queue, read_at

    def is_fresh(self, queue: Queue | None = None) -> bool:
        """Return whether a post may rely on the document, and whether it is still ``queue``, if that is given."""
        known, read_at = self._read
        return time.monotonic() < read_at + POST_TTL and (queue is None or queue == known)

    def is_fresh_for_claims(self) -> bool:
        """Return whether a claim may rely on the document, if it still finds messages."""
        return time.monotonic() < self._read[1] + CLAIM_TTL

    # Scans.

    def plan(self, now: float, limit: int) -> ScanPlan:
        """Return what the next scan for ``limit`` messages reads; with 0 it only checks for due messages."""
        queue, (since, until), is_blind = self.queue, self._no_due, limit == 1 or self.is_contended
        # Threads that share this, and a clock that is measured again, differ by less than the margin.
        is_full = now < since - MARGIN or time.monotonic() >= self._full_scan_at
        checks_due = not limit or is_full or not since <= now < until
        is_quick = not (checks_due or queue.paused or queue.policy.has_dlq) and self.is_fresh_for_claims()
        return ScanPlan(self, queue, now, FULL_RANGE if is_full else self.narrow_range, checks_due, is_quick, is_blind)

    @property
    def narrow_range(self) -> ScanRange:
        """The range outside which there are only late messages."""
        parts: list[Filter] = []
        beyond: Filter = {}
        for first, number in sorted(self._numbers.items()):
            parts.append({"_id": {**beyond, "$lt": codec.smallest_id(first)}})
            beyond = {"$gte": codec.smallest_id(first, number)}
        return ScanRange((*parts, {"_id": beyond} if beyond else {}), {"$gt": self._no_due[0] - MARGIN})

    def record_first(self, plan: ScanPlan, first: bytes | None) -> bool:
        """Record the first of the new free messages; None: there is none.

        Returns:
            Whether it is the first of its priority that was seen.
        """
        latest = codec.number_at(plan.now - MARGIN)
        priority = _LAST_BYTE + 1 if first is None else first[0]
        # A full scan overrides earlier bounds, which may stem from another clock.
        before = {} if plan.range is FULL_RANGE else self._numbers
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
        """Record the duration of a scan for free messages."""
        if scan_range is FULL_RANGE:
            interval = max(FULL_SCAN_INTERVAL, min(_FULL_SCAN_FACTOR * seconds, _MAX_FULL_SCAN_INTERVAL))
            self._full_scan_at = time.monotonic() + interval

    # Due messages.

    def expect_due(self, at: float = float("-inf")) -> None:
        """Record that a message is due at a time, or now: the first claim after it checks."""
        self._next_due = min(self._next_due, at)
        since, until = self._no_due
        self._no_due = since, min(until, at)

    def record_no_due(self, now: float) -> None:
        """Record that a check found no due message."""
        # Another thread may have recorded a due message since the check began.
        if self._next_due <= now:
            self._next_due = math.inf
        self._no_due = now, min(self._next_due, now + CLAIM_TTL)

    # Claims.

    @property
    def is_contended(self) -> bool:
        """Whether another process claimed scanned messages lately."""
        return time.monotonic() < self._contended_until

    def record_collision(self) -> None:
        """Record that another process claimed messages which this one had scanned."""
        self._contended_until = time.monotonic() + _CONTENTION_TTL

    def record_claimed(self, count: int, now: float, end: float) -> None:
        """Record that messages were claimed until ``end``."""
        self.expect_due(end)
        self._claimed += count
        if self._claimed >= _BUSY_CLAIMS:
            self._claimed, self._busy_until = 0, now + _ENTRY_LIFETIME

    def is_busy(self, now: float) -> bool:
        """Return whether the server has many entries of claimed messages to step over."""
        return now < self._busy_until

    def next_sentinel(self, now: float) -> float | None:
        """Return the time to move the due sentinel to; None if it is far enough ahead, or not needed."""
        if not self.is_busy(now) or now + _SENTINEL_DISTANCE / 2 < self._sentinel_at:
            return None
        self._sentinel_at = now + _SENTINEL_DISTANCE
        return self._sentinel_at
