"""Waits for messages: with a change stream where the server has them, otherwise by scans at growing intervals."""

from __future__ import annotations

import math
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from kombu_pool.clock import SystemClock
from kombu_pool.drivers.mongodb import scan_sentinels, states
from kombu_pool.drivers.mongodb.change_stream import ChangeStream
from kombu_pool.drivers.mongodb.codec import DELAYED_OR_CLAIMED, project_of
from kombu_pool.drivers.mongodb.store import queue_filter
from kombu_pool.storage import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner
    from kombu_pool.drivers.mongodb.scan_bounds import ScanRange
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Project

#: First and largest interval between scans without a change stream, in seconds.
_MIN_INTERVAL = 0.002
_MAX_INTERVAL = 0.05
#: Interval between scans beside a change stream, in seconds: for claims of other processes that end, which it does not
#: report.
_STREAM_INTERVAL = 1.0
#: Interval between looks at a clock other than the server's, which a test may move at any time, and the shortest sleep,
#: in seconds.
_TEST_CLOCK_INTERVAL = 0.02
_MIN_SLEEP = 0.001
#: Number of queues per command.
_QUEUES_BATCH = 40


class MongoWatch(Watch):
    """Scans the queues, and sleeps until a wake-up or the next due time.

    A queue that a scan found and a later one does not, or with another incarnation, was deleted: that wakes it, too.
    """

    def __init__(self, store: QueueScanner, queues: Iterable[tuple[Project, str]]) -> None:
        self._store = store
        self._filters = [queue_filter(project, name) for project, name in queues]
        #: The incarnations that the last scan found.
        self._found: frozenset[bytes] = frozenset()
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._woken = threading.Event()
        self._interrupted = False
        self._closed = False
        self._changed = False
        self._stream = ChangeStream(self._store, self._filters, self._wake_up)

    def wait(self, timeout: float) -> bool:
        if self._pid != os.getpid():
            self._start()
        deadline = time.monotonic() + timeout
        interval = _MIN_INTERVAL
        while not self._closed:
            self._woken.clear()
            if self._was_interrupted() or self._was_changed():
                return True
            was_open = self._stream.is_open
            is_ready, at = self._scan()
            if is_ready or self._was_interrupted():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
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
        return bool(self._filters) and self._store.client.has_transactions and self._stream.keep_open()

    def _sleep(self, seconds: float, at: float) -> None:
        """Sleep until a wake-up, until ``at`` by the store's time, or for ``seconds``."""
        until = time.monotonic() + seconds
        slice_ = seconds if isinstance(self._store.clock, SystemClock) else _TEST_CLOCK_INTERVAL
        while not self._woken.is_set():
            left = min(until - time.monotonic(), at - self._store.now())
            if left <= 0:
                break
            self._woken.wait(max(_MIN_SLEEP, min(left, slice_)))

    def _wake_up(self, *, changed: bool = False, sentinel: bytes | None = None) -> None:
        """End the sleep, unless the queue of the sentinel, which was deleted, is none of ours."""
        if sentinel is None or any(scan_sentinels.is_sentinel_of(sentinel, one) for one in self._found):
            self._changed = self._changed or changed
            self._woken.set()

    def _was_changed(self) -> bool:
        was, self._changed = self._changed, False
        return was

    def _was_interrupted(self) -> bool:
        was, self._interrupted = self._interrupted, False
        return was

    def _scan(self) -> tuple[bool, float]:
        """Return whether a message is claimable or a queue was deleted, and otherwise when one may be."""
        now, at = self._store.now(), math.inf
        with self._store.client.translated():
            queues = self._queues()
            before, self._found = self._found, frozenset(one["_id"] for one in queues)
            if before - self._found:
                return True, now
            # A paused queue has nothing to claim, but its messages may expire to its dead letters.
            queues = [one for one in queues if "z" not in one or "e" in one]
            for start in range(0, len(queues), _QUEUES_BATCH):
                at = min(at, self._next_claimable(queues[start : start + _QUEUES_BATCH], now))
        return at <= now, at

    def _queues(self) -> list[dict[str, Any]]:
        return list(self._store.queues.find({"$or": self._filters}, {"m": 0})) if self._filters else []

    def _next_claimable(self, queues: list[dict[str, Any]], now: float) -> float:
        """Return the time at which some of the queues have a claimable message, within their scan bounds."""
        bounds = [self._store.scan_bounds(project_of(one["p"]), one["q"], one["_id"]) for one in queues]
        ranges = [each.next_range(now) for each in bounds]
        pipelines: list[list[dict[str, Any]]] = []
        for queue, scan_bounds, scan_range in zip(queues, bounds, ranges, strict=True):
            self._store.move_sentinel(_scope(queue), scan_bounds, now)
            until = now + _STREAM_INTERVAL if scan_bounds.is_busy(now) else math.inf
            pipelines += self._pipelines(queue, scan_range, now, until)
        first, *others = pipelines
        began = time.monotonic()
        found = list(self._store.messages.aggregate([*first, *self._store.unions(others)]))
        took = time.monotonic() - began
        ready = {one["i"] for one in found if one["r"] <= now}
        for queue, scan_bounds, scan_range in zip(queues, bounds, ranges, strict=True):
            # After a wake-up for a message that only a full scan finds, the claim needs a full scan, too.
            if queue["_id"] in ready:
                scan_bounds.expect_due()
            elif "z" not in queue:
                scan_bounds.record_duration(scan_range, took)
        return min((one["r"] for one in found), default=math.inf)

    def _pipelines(
        self, queue: dict[str, Any], scan_range: ScanRange, now: float, until: float
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield the pipelines that find whether a queue has a free message, and when it has the next up to ``until``.

        Neither for a paused queue. With the policy that expired messages become dead letters, also when the next
        message expires.
        """
        scope = _scope(queue)
        if "z" not in queue:
            for free in self._store.free_pipelines(scope, scan_range, now, 1):
                yield [*free, {"$project": {"_id": 0, "i": {"$literal": queue["_id"]}, "r": {"$literal": 0.0}}}]
            due = {**scope, "s": DELAYED_OR_CLAIMED, "r": {**scan_range.due, "$lte": until}, **states.NOT_SENTINEL}
            yield [{"$match": due}, {"$sort": {"r": 1}}, {"$limit": 1}, {"$project": {"_id": 0, "i": 1, "r": 1}}]
        if "e" in queue:
            expiring = {**scope, **states.expiring_to_dlq(queue["e"])}
            fields = {"_id": 0, "i": 1, "r": "$x"}
            yield [{"$match": expiring}, {"$sort": {"x": 1}}, {"$limit": 1}, {"$project": fields}]


def _scope(queue: dict[str, Any]) -> Filter:
    return {"p": queue["p"], "q": queue["q"], "i": queue["_id"]}
