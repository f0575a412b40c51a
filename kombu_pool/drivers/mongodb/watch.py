"""Waits for messages: told by a change stream where the server has them, else by looking more and more rarely."""

from __future__ import annotations

import math
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from kombu_pool.clock import SystemClock
from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.change_stream import Listener
from kombu_pool.drivers.mongodb.codec import DELAYED_OR_CLAIMED, project_of
from kombu_pool.drivers.mongodb.store import queue_filter
from kombu_pool.storage import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner
    from kombu_pool.drivers.mongodb.scan_bounds import Bounds
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Project

#: Seconds between two looks where nobody tells: at first, and at the most.
_SOON = 0.002
_SELDOM = 0.05
#: Seconds between two looks of somebody who is told, for claims that others made end unheard.
_RARELY = 1.0
#: A clock that is not the server's may be moved at any time.
_FOREIGN_CLOCK = 0.02
_SHORTEST = 0.001
#: Queues that one command looks at.
_AT_ONCE = 40


class MongoWatch(Watch):
    """Looks at the queues, and sleeps until there is news of them."""

    def __init__(self, store: QueueScanner, queues: Iterable[tuple[Project, str]]) -> None:
        self._store = store
        self._places = [queue_filter(project, name) for project, name in queues]
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._news = threading.Event()
        self._interrupted = False
        self._closed = False
        self._was_told = False
        self._listener = Listener(self._store, self._places, self._hear)

    def wait(self, timeout: float) -> bool:
        if self._pid != os.getpid():
            self._start()
        deadline = time.monotonic() + timeout
        pause = _SOON
        while not self._closed:
            self._news.clear()
            if self._was_interrupted() or self._heard_something():
                return True
            listens = self._listener.listens
            is_ready, at = self._look()
            if is_ready or self._was_interrupted():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._is_told():
                # Who just began to listen looks once more, for what happened before.
                self._sleep(min(left, _RARELY if listens else _SELDOM), at)
            else:
                self._sleep(min(left, pause), at)
                pause = min(2 * pause, _SELDOM)
        return False

    def interrupt(self) -> None:
        self._interrupted = True
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()
        self._listener.close()

    def _is_told(self) -> bool:
        return bool(self._places) and self._store.client.has_transactions and self._listener.want()

    def _sleep(self, seconds: float, at: float) -> None:
        """Sleep until there is news, or something is due, or the seconds are over."""
        until = time.monotonic() + seconds
        slice_ = seconds if isinstance(self._store.clock, SystemClock) else _FOREIGN_CLOCK
        while not self._news.is_set():
            left = min(until - time.monotonic(), at - self._store.now())
            if left <= 0:
                break
            self._news.wait(max(_SHORTEST, min(left, slice_)))

    def _hear(self, *, news: bool) -> None:
        """Wake up: something may have become claimable, or what is to be heard begins or ends here."""
        self._was_told = self._was_told or news
        self._news.set()

    def _heard_something(self) -> bool:
        was, self._was_told = self._was_told, False
        return was

    def _was_interrupted(self) -> bool:
        was, self._interrupted = self._interrupted, False
        return was

    def _look(self) -> tuple[bool, float]:
        """Tell whether there is something to claim, and else when there may be."""
        now, at = self._store.now(), math.inf
        with self._store.client.translated():
            queues = self._queues()
            for start in range(0, len(queues), _AT_ONCE):
                at = min(at, self._next(queues[start : start + _AT_ONCE], now))
        return at <= now, at

    def _queues(self) -> list[dict[str, Any]]:
        return list(self._store.queues.find({"$or": self._places}, {"m": 0})) if self._places else []

    def _next(self, queues: list[dict[str, Any]], now: float) -> float:
        """Return when some of the queues have something to claim, by what the server says and what was seen before."""
        seen = [self._store.scan_bounds(project_of(one["p"]), one["q"], one["_id"]) for one in queues]
        bounds = [scan_bounds.begin(now) for scan_bounds in seen]
        questions: list[list[dict[str, Any]]] = []
        for queue, scan_bounds, where in zip(queues, seen, bounds, strict=True):
            self._store.fence(_scope(queue), scan_bounds, now)
            until = now + _RARELY if scan_bounds.is_busy(now) else math.inf
            questions += self._questions(queue, where, now, until)
        first, *others = questions
        began = time.monotonic()
        found = list(self._store.messages.aggregate([*first, *self._store.unions(others)]))
        took = time.monotonic() - began
        ready = {one["i"] for one in found if one["r"] <= now}
        for queue, scan_bounds, where in zip(queues, seen, bounds, strict=True):
            # Who is sent to what only a look everywhere finds has to look everywhere, too.
            if queue["_id"] in ready:
                scan_bounds.expect_due()
            else:
                scan_bounds.ended(where, took)
        return min((one["r"] for one in found), default=math.inf)

    def _questions(
        self, queue: dict[str, Any], bounds: Bounds, now: float, until: float
    ) -> Iterator[list[dict[str, Any]]]:
        """Give the pipelines that find whether a queue has a free message, and when it will have the next, until then.

        Of one that buries what expires, also when that happens next.
        """
        scope = _scope(queue)
        for free in self._store.line(scope, bounds, now, 1):
            yield [*free, {"$project": {"_id": 0, "i": {"$literal": queue["_id"]}, "r": {"$literal": 0.0}}}]
        waiting = {**scope, "s": DELAYED_OR_CLAIMED, "r": {**bounds.due, "$lte": until}, **states.NOT_SENTINEL}
        yield [{"$match": waiting}, {"$sort": {"r": 1}}, {"$limit": 1}, {"$project": {"_id": 0, "i": 1, "r": 1}}]
        if "e" in queue:
            expiring_to_dlq = {**scope, **states.expiring_to_dlq(queue["e"])}
            yield [
                {"$match": expiring_to_dlq},
                {"$sort": {"x": 1}},
                {"$limit": 1},
                {"$project": {"_id": 0, "i": 1, "r": "$x"}},
            ]


def _scope(queue: dict[str, Any]) -> Filter:
    return {"p": queue["p"], "q": queue["q"], "i": queue["_id"]}
