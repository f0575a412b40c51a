"""Scans of a queue for due, free and dead messages: one round trip unless a message is due."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb import scan_sentinels, states
from kombu_pool.drivers.mongodb.codec import DEAD, FREE_AGAIN, FREE_NEW
from kombu_pool.drivers.mongodb.store import Store, queue_filter
from kombu_pool.errors import QueueDoesNotExist

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.drivers.mongodb.cached_queue import CachedQueue, Queue, ScanPlan, ScanRange
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Project

    Pipeline = list[dict[str, Any]]

#: Fields that are read of a free message that another process may claim first.
_PARTIAL_FIELDS = {"_id": 1, "s": 1, "n": 1, "x": 1}
#: An order that only one index has. Where a search finds nothing, the server rates another index as equal, in which it
#: steps over all that was claimed lately.
_DUE_ORDER = {"$sort": {"r": 1}}


class Scan(NamedTuple):
    """An advanced queue and its first free messages; of a paused queue there are none."""

    plan: ScanPlan
    #: Complete documents, or ``_id``, ``s``, ``n`` and ``x`` of them; None if the server chooses them.
    first: Sequence[dict[str, Any]] | None
    #: Whether the queue has dead messages; known only to a complete scan for free messages.
    has_dead: bool = False

    @property
    def queue(self) -> Queue:
        """The queue."""
        return self.plan.queue


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
            cached = self.cached(project, name, incarnation)
            plan = None if cached is None else cached.plan(now, limit)
            if plan is not None and plan.is_quick and (scan := self._scan_quickly(plan, limit)) is not None:
                return scan
            began = time.monotonic()
            found = self._query(queue_filter(project, name), plan, limit)
            if not found or "m" not in found[0] or "n" in found[0]:
                self._cached.pop((project, name), None)
                return None
            present = self.cache(found[0], began)
            if not present.queue.bears(incarnation):
                raise QueueDoesNotExist(name, project)
            if plan is None or present is not plan.cached or present.queue != plan.queue:
                continue
            if any("due" in one for one in found[1:2]):
                due = {**plan.queue.scope, **states.due(now, plan.range.due)}
                self.change(due, states.MAKE_FREE, hint=states.BY_DUE_TIME)
                continue
            if limit and not plan.queue.paused:
                present.record_duration(plan.range, time.monotonic() - began)
            return self._record_scan(plan, found, limit)

    def _record_scan(self, plan: ScanPlan, found: list[dict[str, Any]], limit: int) -> Scan:
        """Return a complete scan, and bound the next ones by it."""
        self.move_sentinel(plan.queue.scope, plan.cached, plan.now)
        if plan.checks_due:
            plan.cached.record_no_due(plan.now)
        free = sorted((one for one in found[1:] if "n" in one), key=lambda one: bytes(one["_id"]))
        scan = Scan(plan, free[:limit], any("dead" in one for one in found[-2:]))
        if limit and not plan.queue.paused:
            self.record_first(scan, next((one["_id"] for one in free if one["s"] == FREE_NEW), None))
        return scan

    def _scan_quickly(self, plan: ScanPlan, limit: int) -> Scan | None:
        """Scan only the free messages, for claims in quick succession; None if a complete scan is needed."""
        if plan.is_blind:
            return Scan(plan, None)
        # One more than the limit, so that the first batch exhausts the cursor.
        where, batch_size = any_free(plan), limit + 1
        cursor = self.messages.find(where, sort=[("_id", 1)], hint=states.BY_ORDER, limit=limit, batch_size=batch_size)
        scan = Scan(plan, list(cursor))
        if not scan.first and not plan.cached.is_fresh():
            return None
        self.record_first(scan, scan.first[0]["_id"] if scan.first else None)
        return scan

    def move_sentinel(self, scope: Filter, cached: CachedQueue, now: float) -> None:
        """Bound the search for due messages of a busy queue."""
        if self.client.has_transactions and (until := cached.next_sentinel(now)) is not None:
            scan_sentinels.move_due_sentinel(self.messages, scope, until)

    def record_first(self, scan: Scan, first: bytes | None) -> None:
        """Record the first of the free messages, and store the sentinel of its priority."""
        is_new = scan.plan.cached.record_first(scan.plan, first)
        if is_new and first is not None and first[0] != scan_sentinels.LAST:
            with suppress(DuplicateKeyError):
                self.messages.insert_one(scan_sentinels.priority_sentinel(scan.queue.scope, first[0]))

    def _query(self, where: Filter, plan: ScanPlan | None, limit: int) -> list[dict[str, Any]]:
        """Return the queue's document, a due message if there is one, free messages, and dead ones."""
        pipeline: Pipeline = [{"$match": where}, {"$limit": 1}]
        if plan is not None:
            scope, now, parts = plan.queue.scope, plan.now, []
            if plan.checks_due:
                parts.append(_first_match({**scope, **states.due(now, plan.range.due)}, "due", _DUE_ORDER))
            if limit and not plan.queue.paused:
                parts += self.free_pipelines(scope, plan.range, now, limit, whole=not plan.is_blind)
            if limit:
                parts += _dead_pipelines(plan.queue, now)
            pipeline += self.unions(parts)
        return list(self.queues.aggregate(pipeline, batchSize=2 * limit + 4))

    def unions(self, pipelines: Iterable[Pipeline]) -> Pipeline:
        """Return the stages that add the results of pipelines over the messages."""
        return [{"$unionWith": {"coll": self.messages.name, "pipeline": pipeline}} for pipeline in pipelines]

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


def any_free(plan: ScanPlan) -> Filter:
    """Return the filter of all free messages of an advanced queue; sorted by id, the server merges its parts."""
    limit = plan.queue.policy.max_claim_count
    scope = {**plan.queue.scope, **({"n": {"$lt": limit}} if limit else {})}
    return {"$or": free_filters(scope, plan.range, plan.now)}


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
