"""Waits for messages: with a change stream where the server has them, otherwise by scans at growing intervals."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool.clock import SystemClock
from kombu_pool.drivers.mongodb import scan_sentinels, states
from kombu_pool.drivers.mongodb.cached_queue import FULL_RANGE, MARGIN
from kombu_pool.drivers.mongodb.change_stream import ChangeStream
from kombu_pool.drivers.mongodb.codec import DELAYED_OR_CLAIMED, project_key, project_of
from kombu_pool.drivers.mongodb.states import NOT_SENTINEL
from kombu_pool.drivers.mongodb.store import queues_filter, scopes_of
from kombu_pool.storage import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kombu_pool.drivers.mongodb.cached_queue import CachedQueue, ScanPlan
    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner
    from kombu_pool.model import Project

#: First and largest interval between scans without a change stream, in seconds.
_MIN_INTERVAL = 0.002
_MAX_INTERVAL = 0.05
#: Interval between scans beside a change stream, in seconds: for claims of other processes that end, which it does not
#: report.
_STREAM_INTERVAL = 1.0
#: Interval between scans of all queues beside a change stream, in seconds: bounds the delay of an unreported message.
_SCAN_INTERVAL = 30.0
#: Interval between looks at a clock other than the server's, which a test may move at any time, and the shortest sleep,
#: in seconds.
_TEST_CLOCK_INTERVAL = 0.02
_MIN_SLEEP = 0.001
#: Number of queues per command.
_QUEUES_BATCH = 40


class Report(NamedTuple):
    """What the change stream tells."""

    #: The queue, after the stored form of its project; None for any.
    queue: tuple[str, str] | None
    #: The id of the sentinel of a queue that was deleted.
    sentinel: bytes | None
    #: Whether a message of it may have become claimable.
    is_claimable: bool


class MongoWatch(Watch):
    """Scans the queues, and sleeps until a wake-up or the next due time.

    A queue that a scan found and a later one does not, or with another incarnation, was deleted: that wakes it, too.
    While a change stream reports everything else, one read at intervals looks for claims and delays that end, and only
    reported queues are scanned again.
    """

    def __init__(self, store: QueueScanner, queues: Iterable[tuple[Project, str]]) -> None:
        self._store = store
        self._names = frozenset((project_key(project), name) for project, name in queues)
        #: The queues that the last scan found, by their names.
        self._known: dict[tuple[str, str], CachedQueue] = {}
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._woken = threading.Event()
        self._interrupted = False
        self._closed = False
        self._reports: deque[Report] = deque()
        #: The queues without a scan of the full range since the stream was opened, or reported a change of theirs.
        self._unscanned = self._names
        #: The time of the last look for due messages, and the earliest time at which one is due by the scans.
        self._checked_at, self._next_at = float("-inf"), math.inf
        #: The monotonic time of the last scan of all queues.
        self._scanned_at = float("-inf")
        self._ready: frozenset[tuple[Project, str]] | None = None
        filters = [{"p": project, "q": name} for project, name in self._names]
        self._stream = ChangeStream(self._store, filters, self._report)

    @property
    def ready(self) -> frozenset[tuple[Project, str]] | None:
        return self._ready

    def wait(self, timeout: float) -> bool:
        if self._pid != os.getpid():
            self._start()
        deadline = time.monotonic() + timeout
        interval = _MIN_INTERVAL
        while not self._closed:
            self._woken.clear()
            was_open = self._stream.is_open
            if self._was_interrupted() or self._was_reported():
                return True
            is_ready, at = self._look(is_reported=was_open and not self._store.client.is_sharded)
            if is_ready or self._was_interrupted():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                self._ready = frozenset()
                return False
            if self._has_stream():
                # A stream that opened during the scan may have missed a change before it: scan again soon.
                self._sleep(min(left, _STREAM_INTERVAL if was_open else _MAX_INTERVAL), at)
            else:
                self._sleep(min(left, interval), at)
                interval = min(2 * interval, _MAX_INTERVAL)
        return False

    def interrupt(self) -> None:
        self._interrupted = True
        self._woken.set()

    def close(self) -> None:
        self._closed = True
        self._woken.set()
        self._stream.close()

    def _has_stream(self) -> bool:
        return bool(self._names) and self._store.client.has_transactions and self._stream.keep_open()

    def _sleep(self, seconds: float, at: float) -> None:
        """Sleep until a wake-up, until ``at`` by the store's time, or for ``seconds``."""
        until = time.monotonic() + seconds
        slice_ = seconds if isinstance(self._store.clock, SystemClock) else _TEST_CLOCK_INTERVAL
        while not self._woken.is_set():
            left = min(until - time.monotonic(), at - self._store.now())
            if left <= 0:
                break
            self._woken.wait(max(_MIN_SLEEP, min(left, slice_)))

    def _report(
        self, queue: tuple[str, str] | None = None, *, sentinel: bytes | None = None, is_claimable: bool = False
    ) -> None:
        """Keep a report, and end the sleep unless the queue of the sentinel is none that the last scan found."""
        self._reports.append(Report(queue, sentinel, is_claimable))
        if sentinel is None or self._name_of(sentinel) is not None:
            self._woken.set()

    def _name_of(self, sentinel: bytes) -> tuple[str, str] | None:
        known = [(name, cached.queue.incarnation) for name, cached in [*self._known.items()]]
        return next((name for name, one in known if scan_sentinels.is_sentinel_of(sentinel, one)), None)

    def _was_reported(self) -> bool:
        """Return whether the stream reported a claimable message, and remember which queues to scan."""
        named: set[tuple[str, str]] = set()
        is_claimable = is_any = False
        while self._reports:
            queue, sentinel, claimable = self._reports.popleft()
            is_claimable = is_claimable or claimable
            is_any = is_any or (queue is None and sentinel is None)
            if (name := queue if sentinel is None else self._name_of(sentinel)) is not None:
                named.add(name)
        self._unscanned = self._names if is_any else self._unscanned | (named & self._names)
        self._ready = None if is_any else frozenset((project_of(project), name) for project, name in named)
        return is_claimable

    def _was_interrupted(self) -> bool:
        was, self._interrupted = self._interrupted, False
        if was:
            self._ready = None
        return was

    def _look(self, *, is_reported: bool) -> tuple[bool, float]:
        """Return whether a message is claimable or a queue was deleted, and otherwise when one may be.

        With ``is_reported`` the stream reports all changes but claims of other processes, which may end before others.
        """
        now = self._store.now()
        with self._store.client.translated():
            is_reported = is_reported and time.monotonic() < self._scanned_at + _SCAN_INTERVAL
            if not is_reported or self._next_at <= now or self._is_any_due(now):
                self._unscanned = self._names
            is_ready, at = self._scan(sorted(self._unscanned), now) if self._unscanned else (False, math.inf)
        self._next_at = min(self._next_at, at)
        return is_ready, self._next_at

    def _is_any_due(self, now: float) -> bool:
        """Return whether a delay or a claim ended since the last look, or ends before the next one."""
        if not self._known:
            return False
        since, self._checked_at = self._checked_at - MARGIN, now
        self._move_sentinels(now)
        due = {"s": DELAYED_OR_CLAIMED, "r": {"$gt": since, "$lte": now + _STREAM_INTERVAL}, **NOT_SENTINEL}
        scopes = scopes_of((*name, cached.queue.incarnation) for name, cached in self._known.items())
        find = partial(self._store.messages.find_one, projection={"_id": 1}, hint=states.BY_DUE_TIME)
        return any(find({**scope, **due}) is not None for scope in scopes)

    def _scan(self, names: list[tuple[str, str]], now: float) -> tuple[bool, float]:
        """Scan some queues, as :meth:`_look` does."""
        at, began = math.inf, time.monotonic()
        if len(names) == len(self._names):
            self._checked_at, self._next_at, self._scanned_at = now, math.inf, began
        found = [self._store.cache(one, began) for one in self._store.queues.find(queues_filter(names))]
        before = {name: self._known.pop(name).queue.incarnation for name in names if name in self._known}
        after = {(project_key(one.queue.project), one.queue.name): one for one in found}
        self._known.update(after)
        if any(name not in after or after[name].queue.incarnation != one for name, one in before.items()):
            self._ready = None
            return True, now
        self._move_sentinels(now)
        # A paused queue has nothing to claim, but its messages may expire to its dead letters.
        claimable = [one for one in found if not one.queue.paused or one.queue.expires_to_dlq_since is not None]
        plans = [cached.plan(now, 1) for cached in claimable]
        self._ready = frozenset()
        for start in range(0, len(plans), _QUEUES_BATCH):
            at = min(at, self._next_claimable(plans[start : start + _QUEUES_BATCH]))
        partly = [plan.queue for plan in plans if plan.range is not FULL_RANGE]
        self._unscanned = frozenset((project_key(queue.project), queue.name) for queue in partly)
        return at <= now, at

    def _move_sentinels(self, now: float) -> None:
        for cached in self._known.values():
            self._store.move_sentinel(cached.queue.scope, cached, now)

    def _next_claimable(self, plans: list[ScanPlan]) -> float:
        """Return the time at which some of the queues have a claimable message, within their scan bounds."""
        first, *others = (pipeline for plan in plans for pipeline in self._pipelines(plan))
        began = time.monotonic()
        found = list(self._store.messages.aggregate([*first, *self._store.unions(others)]))
        took = time.monotonic() - began
        ready = {one["i"] for one in found if one["r"] <= plans[0].now}
        for plan in plans:
            # After a wake-up for a message that only a full scan finds, the claim needs a full scan, too.
            if plan.queue.incarnation in ready:
                plan.cached.expect_due()
                self._ready = (self._ready or frozenset()) | {(plan.queue.project, plan.queue.name)}
            elif not plan.queue.paused:
                plan.cached.record_duration(plan.range, took)
        return min((one["r"] for one in found), default=math.inf)

    def _pipelines(self, plan: ScanPlan) -> Iterator[list[dict[str, Any]]]:
        """Yield the pipelines that find whether a queue has a free message, and when it has the next.

        Neither for a paused queue. With the policy that expired messages become dead letters, also when the next
        message expires.
        """
        queue, now = plan.queue, plan.now
        if not queue.paused:
            for free in self._store.free_pipelines(queue.scope, plan.range, now, 1):
                yield [*free, {"$project": {"_id": 0, "i": {"$literal": queue.incarnation}, "r": {"$literal": 0.0}}}]
            until = now + _STREAM_INTERVAL if plan.cached.is_busy(now) else math.inf
            due = {**queue.scope, "s": DELAYED_OR_CLAIMED, "r": {**plan.range.due, "$lte": until}, **NOT_SENTINEL}
            yield [{"$match": due}, {"$sort": {"r": 1}}, {"$limit": 1}, {"$project": {"_id": 0, "i": 1, "r": 1}}]
        if (since := queue.expires_to_dlq_since) is not None:
            expiring = {**queue.scope, **states.expiring_to_dlq(since)}
            fields = {"_id": 0, "i": 1, "r": "$x"}
            yield [{"$match": expiring}, {"$sort": {"x": 1}}, {"$limit": 1}, {"$project": fields}]
