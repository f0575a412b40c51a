"""Scans of a queue for due, free and dead messages: one round trip unless a message is due."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb import scan_sentinels, states
from kombu_pool.drivers.mongodb.codec import DEAD, FREE_AGAIN, FREE_NEW
from kombu_pool.drivers.mongodb.scan_bounds import FULL_RANGE, ScanBounds, ScanRange
from kombu_pool.drivers.mongodb.store import Store, queue_filter
from kombu_pool.errors import QueueDoesNotExist

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import CachedQueue, Queue
    from kombu_pool.model import Project

    Pipeline = list[dict[str, Any]]

#: Fields that are read of a free message that another process may claim first.
_PARTIAL_FIELDS = {"_id": 1, "s": 1, "n": 1, "x": 1}
#: An order that only one index has. Where a search finds nothing, the server rates another index as equal, in which it
#: steps over all that was claimed lately.
_DUE_ORDER = {"$sort": {"r": 1}}


class Scan(NamedTuple):
    """An advanced queue and its first free messages: documents, or ``_id``, ``s``, ``n`` and ``x`` of them.

    Of a paused queue there are none.
    """

    queue: Queue
    scan_bounds: ScanBounds
    first: Sequence[dict[str, Any]]
    #: Whether the queue has dead messages; known only to a scan for free messages.
    has_dead: bool


class QueueScanner(Store):
    """A store with scans of its queues."""

    def advance(self, project: Project, name: str, now: float) -> Queue | None:
        """Free all due messages of a queue and return the queue; None if it does not exist."""
        scan = self.scan(project, name, now, 0)
        return None if scan is None else scan.queue

    def scan(self, project: Project, name: str, now: float, limit: int, incarnation: str | None = None) -> Scan | None:
        """Free all due messages of a queue and return its first free ones; None if it does not exist.

        Raises:
            QueueDoesNotExist: it does not bear the ``incarnation``, if one is given.
        """
        while True:
            cached = self._cached_for(project, name, incarnation)
            began, scan_range = time.monotonic(), FULL_RANGE if cached is None else cached.scan_bounds.next_range(now)
            if limit and cached is not None and (line := self._scan_line(cached, scan_range, now, limit)) is not None:
                return line
            found = self._query(queue_filter(project, name), cached, scan_range, now, limit)
            if not found or "m" not in found[0] or "n" in found[0]:
                self._cached.pop((project, name), None)
                return None
            present = self._cache(project, name, found[0], began)
            if not present.queue.bears(incarnation):
                raise QueueDoesNotExist(name, project)
            if cached is None or present.queue != cached.queue:
                continue
            if any("due" in one for one in found[1:2]):
                due = {**present.queue.scope, **states.due(now, scan_range.due)}
                self.change(due, states.MAKE_FREE, hint=states.BY_DUE_TIME)
                continue
            return self._record_scan(present, scan_range, found, now, limit)

    def _record_scan(
        self, present: CachedQueue, scan_range: ScanRange, found: list[dict[str, Any]], now: float, limit: int
    ) -> Scan:
        """Return a complete scan, and bound the next ones by it."""
        queue, scan_bounds, began = present
        took = time.monotonic() - began
        self.move_sentinel(queue.scope, scan_bounds, now)
        if _checks_due(scan_bounds, scan_range, now, limit):
            scan_bounds.record_no_due(now, took)
        free = sorted((one for one in found[1:] if "n" in one), key=lambda one: bytes(one["_id"]))
        if limit and not queue.paused:
            scan_bounds.record_duration(scan_range, took)
            scan_bounds.read_ahead.clear()
            scan_bounds.has_returned = any(one["s"] == FREE_AGAIN for one in free)
            self._record_first(queue, scan_bounds, scan_range, free, now)
        return Scan(queue, scan_bounds, free[:limit], any("dead" in one for one in found[-2:]))

    def _cached_for(self, project: Project, name: str, incarnation: str | None) -> CachedQueue | None:
        """Return a cached queue, unless it bears another incarnation of its assignment."""
        cached = self._cached.get((project, name))
        return cached if cached is not None and cached.queue.bears(incarnation) else None

    def _scan_line(self, cached: CachedQueue, scan_range: ScanRange, now: float, limit: int) -> Scan | None:
        """Scan only the free messages, for claims in quick succession; None if a complete scan is needed."""
        queue, scan_bounds, _ = cached
        if (
            queue.paused
            or queue.policy.has_dlq
            or scan_bounds.has_returned
            or _checks_due(scan_bounds, scan_range, now, limit)
        ):
            return None
        if not cached.is_fresh_for_claims():
            return None
        first = scan_bounds.read_ahead.take(limit) or self._scan_window(cached, scan_range, now, limit)
        if not first:
            began, whole = time.monotonic(), _reads_whole(scan_bounds, limit)
            size = scan_bounds.read_ahead.scan_size(limit) if whole else limit
            found = self.find_free(queue, scan_range, now, size, whole=whole)
            if not found and not cached.is_fresh():
                return None
            if found and found[0]["s"] == FREE_AGAIN:
                return None
            self._record_first(queue, scan_bounds, scan_range, found, now)
            first = scan_bounds.read_ahead.keep(found, limit, began)
        return Scan(queue, scan_bounds, first, has_dead=False)

    def _scan_window(
        self, cached: CachedQueue, scan_range: ScanRange, now: float, limit: int
    ) -> Sequence[dict[str, Any]]:
        """Return the messages of a window apart from other processes; none if the first messages should be scanned."""
        queue, scan_bounds, _ = cached
        window = scan_bounds.contention.pick_window() if limit > 1 else 0
        if not window:
            return ()
        found = self.find_free(queue, scan_range, now, limit, whole=True, skip=window * limit)
        if len(found) < limit:
            scan_bounds.contention.limit_windows(window)
            return ()
        return found if found[0]["s"] == FREE_NEW else ()

    def move_sentinel(self, scope: Filter, scan_bounds: ScanBounds, now: float) -> None:
        """Bound the search for due messages of a busy queue."""
        if self.client.has_transactions and (until := scan_bounds.next_sentinel(now)) is not None:
            scan_sentinels.move_due_sentinel(self.messages, scope, until)

    def _record_first(
        self, queue: Queue, scan_bounds: ScanBounds, scan_range: ScanRange, free: list[dict[str, Any]], now: float
    ) -> None:
        """Record the first of the new free messages, and store the sentinel of its priority."""
        first = next((one["_id"] for one in free if one["s"] == FREE_NEW), None)
        if scan_bounds.record_first(scan_range, first, now) and first is not None and first[0] != scan_sentinels.LAST:
            with suppress(DuplicateKeyError):
                self.messages.insert_one(scan_sentinels.priority_sentinel(queue.scope, first[0]))

    def _query(
        self, where: Filter, cached: CachedQueue | None, scan_range: ScanRange, now: float, limit: int
    ) -> list[dict[str, Any]]:
        """Return the queue's document, a due message if there is one, free messages, and dead ones."""
        pipeline: Pipeline = [{"$match": where}, {"$limit": 1}]
        if cached is not None:
            guess, scan_bounds, _ = cached
            parts = []
            if _checks_due(scan_bounds, scan_range, now, limit):
                parts.append(_first_match({**guess.scope, **states.due(now, scan_range.due)}, "due", _DUE_ORDER))
            if limit and not guess.paused:
                whole = _reads_whole(scan_bounds, limit)
                parts += self.free_pipelines(guess.scope, scan_range, now, limit, whole=whole)
            if limit:
                parts += _dead_pipelines(guess, now)
            pipeline += self.unions(parts)
        return list(self.queues.aggregate(pipeline, batchSize=2 * limit + 4))

    def unions(self, pipelines: Iterable[Pipeline]) -> Pipeline:
        """Return the stages that add the results of pipelines over the messages."""
        return [{"$unionWith": {"coll": self.messages.name, "pipeline": pipeline}} for pipeline in pipelines]

    def find_free(
        self, queue: Queue, scan_range: ScanRange, now: float, limit: int, *, whole: bool = False, skip: int = 0
    ) -> list[dict[str, Any]]:
        """Return the first free messages of an advanced queue; those that are free again come before the new ones."""
        where = {"$or": free_filters(queue.scope, scan_range, now)}
        fields = None if whole else _PARTIAL_FIELDS
        cursor = self.messages.find(where, fields, sort=[*states.ORDER], hint=states.BY_ORDER, limit=limit, skip=skip)
        # One more than the limit, so that the first batch exhausts the cursor.
        return list(cursor.batch_size(limit + 1))

    def free_pipelines(
        self, scope: Filter, scan_range: ScanRange, now: float, limit: int, *, whole: bool = False
    ) -> list[Pipeline]:
        """Return the pipelines that find the first new free messages of an advanced queue, and the free again ones."""
        rest: Pipeline = [{"$limit": limit}]
        if not whole:
            rest.append({"$project": {**_PARTIAL_FIELDS}})
        ranges: list[Pipeline] = [
            [{"$match": where}, {"$sort": dict(states.ORDER)}, {"$limit": limit}]
            for where in free_filters(scope, scan_range, now)
        ]
        # The server skips the later unions once the limit is reached.
        first, *others, again = ranges
        return [[*first, *self.unions(others), *rest], [*again, *rest]]


def free_filters(scope: Filter, scan_range: ScanRange, now: float) -> list[Filter]:
    """Return the filters of an advanced queue's free messages: of the new ones in their order, then the free again."""
    new = [{**scope, **states.free(now, FREE_NEW), **part} for part in scan_range.free]
    return [*new, {**scope, **states.free(now, FREE_AGAIN)}]


def _checks_due(scan_bounds: ScanBounds, scan_range: ScanRange, now: float, limit: int) -> bool:
    """Return whether a scan checks for due messages: not if a claim of this process just did."""
    return not limit or scan_range is FULL_RANGE or not scan_bounds.has_no_due(now)


def _reads_whole(scan_bounds: ScanBounds, limit: int) -> bool:
    """Return whether to read complete messages: under contention a claim of one reads the one that it acquires."""
    return limit > 1 or not scan_bounds.contention.is_present


def _dead_pipelines(queue: Queue, now: float) -> list[Pipeline]:
    """Return the pipelines that find a dead message; none for a queue without a dead-letter policy."""
    if not queue.policy.has_dlq:
        return []
    pipelines = [_first_match({**queue.scope, "s": DEAD}, "dead")]
    if (since := queue.expires_to_dlq_since) is not None:
        # In the order of the only index that finds it with one look-up.
        expired = {**queue.scope, **states.expiring_to_dlq(since, now)}
        pipelines.append(_first_match(expired, "dead", {"$sort": {"x": 1}}))
    return pipelines


def _first_match(where: Filter, name: str, *order: dict[str, Any]) -> Pipeline:
    return [{"$match": where}, *order, {"$limit": 1}, {"$project": {"_id": 0, name: "$r"}}]
