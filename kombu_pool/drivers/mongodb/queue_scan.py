"""How a queue is looked at: what of it is due, free or dead, in one round trip where nothing is to settle."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb import scan_sentinels, states
from kombu_pool.drivers.mongodb.codec import DEAD, FREE_AGAIN, FREE_NEW
from kombu_pool.drivers.mongodb.scan_bounds import FULL_RANGE, Bounds, ScanBounds
from kombu_pool.drivers.mongodb.store import Store, queue_filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import CachedQueue, Queue
    from kombu_pool.model import Project

#: What is read of a free message that others may be quicker to take.
_FREE = {"_id": 1, "s": 1, "n": 1, "x": 1}
#: An order that only one index has: where nothing is found, the server takes another one for as good, in which it steps
#: over all that was lent lately.
_BY_TIME = {"$sort": {"r": 1}}


class Scan(NamedTuple):
    """A queue that was just settled, and its first free messages: whole, or ``_id``, ``s``, ``n``, ``x``."""

    queue: Queue
    scan_bounds: ScanBounds
    first: Sequence[dict[str, Any]]
    #: Whether something is to be buried; only who looks for free messages is told.
    has_dead: bool


class QueueScanner(Store):
    """A store whose queues are looked at."""

    def advance(self, project: Project, name: str, now: float) -> Queue | None:
        """Return a queue of which every message stands in line that may; None when there is none."""
        scan = self.scan(project, name, now, 0)
        return None if scan is None else scan.queue

    def scan(self, project: Project, name: str, now: float, limit: int) -> Scan | None:
        """Settle a queue and look at its first free messages, in one round trip where nothing is to settle."""
        while True:
            cached = self._cached.get((project, name))
            began, bounds = time.monotonic(), FULL_RANGE if cached is None else cached.scan_bounds.begin(now)
            if limit and cached is not None and (line_scan := self._scan_line(cached, bounds, now, limit)) is not None:
                return line_scan
            found = self._ask(queue_filter(project, name), cached, bounds, now, limit)
            if not found or "m" not in found[0] or "n" in found[0]:
                self._cached.pop((project, name), None)
                return None
            queue, scan_bounds, _ = self._remember(project, name, found[0], began)
            if cached is None or queue != cached.queue:
                continue
            if any("due" in one for one in found[1:2]):
                self.change({**queue.scope, **states.due(now, bounds.due)}, states.MAKE_FREE, hint=states.BY_DUE_TIME)
                continue
            took = time.monotonic() - began
            self.fence(queue.scope, scan_bounds, now)
            if _asks_for_due(scan_bounds, bounds, now, limit):
                scan_bounds.advance(now, took)
            free = sorted((one for one in found[1:] if "n" in one), key=lambda one: bytes(one["_id"]))
            if limit:
                scan_bounds.ended(bounds, took)
                scan_bounds.read_ahead.forget()
                scan_bounds.has_back = any(one["s"] == FREE_AGAIN for one in free)
                self._note(queue, scan_bounds, bounds, free, now)
            return Scan(queue, scan_bounds, free[:limit], any("dead" in one for one in found[-2:]))

    def _scan_line(self, cached: CachedQueue, bounds: Bounds, now: float, limit: int) -> Scan | None:
        """Look at nothing but the line, as whoever lends one batch after the other may; None: there is more to see."""
        queue, scan_bounds, _ = cached
        if queue.policy.has_dlq or scan_bounds.has_back or _asks_for_due(scan_bounds, bounds, now, limit):
            return None
        if not cached.is_fresh_for_claims():
            return None
        first = scan_bounds.read_ahead.take(limit) or self._look_apart(cached, bounds, now, limit)
        if not first:
            began, whole = time.monotonic(), _is_whole(scan_bounds, limit)
            found = self.free(queue, bounds, now, scan_bounds.read_ahead.reach(limit) if whole else limit, whole=whole)
            if not found and not cached.is_fresh():
                return None
            if found and found[0]["s"] == FREE_AGAIN:
                return None
            self._note(queue, scan_bounds, bounds, found, now)
            first = scan_bounds.read_ahead.keep(found, limit, began)
        return Scan(queue, scan_bounds, first, has_dead=False)

    def _look_apart(self, cached: CachedQueue, bounds: Bounds, now: float, limit: int) -> Sequence[dict[str, Any]]:
        """Look where others are not likely to in a crowd; nothing: look where the line begins."""
        queue, scan_bounds, _ = cached
        window = scan_bounds.contention.window() if limit > 1 else 0
        if not window:
            return ()
        found = self.free(queue, bounds, now, limit, whole=True, skip=window * limit)
        if len(found) < limit:
            scan_bounds.contention.ends_at(window)
            return ()
        return found if found[0]["s"] == FREE_NEW else ()

    def fence(self, scope: Filter, scan_bounds: ScanBounds, now: float) -> None:
        """Let who looks for what is due in a busy queue not look on and on."""
        if self.client.has_transactions and (until := scan_bounds.fence(now)) is not None:
            scan_sentinels.move_ahead(self.messages, scope, until)

    def _note(
        self, queue: Queue, scan_bounds: ScanBounds, bounds: Bounds, free: list[dict[str, Any]], now: float
    ) -> None:
        """Note where the line begins."""
        first = next((one["_id"] for one in free if one["s"] == FREE_NEW), None)
        if scan_bounds.passed(bounds, first, now) and first is not None and first[0] != scan_sentinels.LAST:
            with suppress(DuplicateKeyError):
                self.messages.insert_one(scan_sentinels.before(queue.scope, first[0]))

    def _ask(
        self, where: Filter, cached: CachedQueue | None, bounds: Bounds, now: float, limit: int
    ) -> list[dict[str, Any]]:
        pipeline: list[dict[str, Any]] = [{"$match": where}, {"$limit": 1}]
        if cached is not None:
            guess, scan_bounds, _ = cached
            questions = []
            if _asks_for_due(scan_bounds, bounds, now, limit):
                questions.append(_any({**guess.scope, **states.due(now, bounds.due)}, "due", _BY_TIME))
            if limit:
                questions += self.line(guess.scope, bounds, now, limit, whole=_is_whole(scan_bounds, limit))
                questions += _questions_of_the_dead(guess, now)
            pipeline += self.unions(questions)
        return list(self.queues.aggregate(pipeline, batchSize=2 * limit + 4))

    def unions(self, questions: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Return the stages that add what pipelines find among the messages."""
        return [{"$unionWith": {"coll": self.messages.name, "pipeline": question}} for question in questions]

    def free(
        self, queue: Queue, bounds: Bounds, now: float, limit: int, *, whole: bool = False, skip: int = 0
    ) -> list[dict[str, Any]]:
        """Return the first free messages of a queue that is settled: those back in line first, wherever they stood."""
        where = {"$or": free_filters(queue.scope, bounds, now)}
        shown = None if whole else _FREE
        # The first answer ends the cursor.
        cursor = self.messages.find(where, shown, sort=[*states.ORDER], hint=states.BY_ORDER, limit=limit, skip=skip)
        return list(cursor.batch_size(limit + 1))

    def line(
        self, scope: Filter, bounds: Bounds, now: float, limit: int, *, whole: bool = False
    ) -> list[list[dict[str, Any]]]:
        """Return the pipelines that find the first free messages of a settled queue in line, and those back in line."""
        rest: list[dict[str, Any]] = [{"$limit": limit}]
        if not whole:
            rest.append({"$project": {**_FREE}})
        ranges: list[list[dict[str, Any]]] = [
            [{"$match": where}, {"$sort": dict(states.ORDER)}, {"$limit": limit}]
            for where in free_filters(scope, bounds, now)
        ]
        # The server looks no further once it has enough.
        first, *others, back = ranges
        return [[*first, *self.unions(others), *rest], [*back, *rest]]


def free_filters(scope: Filter, bounds: Bounds, now: float) -> list[Filter]:
    """Return the filters of the free messages of a settled queue: in line, by order, and then those back in line."""
    posted = [{**scope, **states.free(now, FREE_NEW), **part} for part in bounds.posted]
    return [*posted, {**scope, **states.free(now, FREE_AGAIN)}]


def _asks_for_due(scan_bounds: ScanBounds, bounds: Bounds, now: float, limit: int) -> bool:
    """Tell whether a look is for what is due, too: not if somebody who lends just did that."""
    return not limit or bounds is FULL_RANGE or not scan_bounds.is_settled(now)


def _is_whole(scan_bounds: ScanBounds, limit: int) -> bool:
    """Tell whether to read whole messages: not where it may well be another one that is taken, and read then."""
    return limit > 1 or not scan_bounds.contention.is_there


def _questions_of_the_dead(queue: Queue, now: float) -> list[list[dict[str, Any]]]:
    """Return the pipelines that find something to bury; none for a queue that buries nothing."""
    if not queue.policy.has_dlq:
        return []
    questions = [_any({**queue.scope, "s": DEAD}, "dead")]
    if queue.expires_to_dlq_since is not None:
        # In an order that only the index has which needs to look at but one.
        questions.append(
            _any(
                {**queue.scope, **states.expiring_to_dlq(queue.expires_to_dlq_since, now)}, "dead", {"$sort": {"x": 1}}
            )
        )
    return questions


def _any(where: Filter, name: str, *order: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"$match": where}, *order, {"$limit": 1}, {"$project": {"_id": 0, name: "$r"}}]
