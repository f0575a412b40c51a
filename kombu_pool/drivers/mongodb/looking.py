"""How a queue is looked at: what of it is due, free or dead, in one round trip where nothing is to settle."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb import fences, states
from kombu_pool.drivers.mongodb.frontier import EVERYWHERE, Bounds, Frontier
from kombu_pool.drivers.mongodb.layout import BACK, DEAD, IN_LINE
from kombu_pool.drivers.mongodb.store import Store, place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Known, Queue
    from kombu_pool.model import Project

#: What is read of a free message that others may be quicker to take.
_FREE = {"_id": 1, "s": 1, "n": 1, "x": 1}
#: An order that only one index has: where nothing is found, the server takes another one for as good, in which it steps
#: over all that was lent lately.
_BY_TIME = {"$sort": {"r": 1}}


class Look(NamedTuple):
    """A queue that was just settled, and its first free messages: whole, or ``_id``, ``s``, ``n``, ``x``."""

    queue: Queue
    frontier: Frontier
    first: Sequence[dict[str, Any]]
    #: Whether something is to be buried; only who looks for free messages is told.
    has_dead: bool


class Lookout(Store):
    """A store whose queues are looked at."""

    def settled(self, project: Project, name: str, now: float) -> Queue | None:
        """Return a queue of which every message stands in line that may; None when there is none."""
        look = self.look(project, name, now, 0)
        return None if look is None else look.queue

    def look(self, project: Project, name: str, now: float, limit: int) -> Look | None:
        """Settle a queue and look at its first free messages, in one round trip where nothing is to settle."""
        while True:
            known = self._known.get((project, name))
            began, bounds = time.monotonic(), EVERYWHERE if known is None else known.frontier.begin(now)
            if limit and known is not None and (glance := self._glance(known, bounds, now, limit)) is not None:
                return glance
            found = self._ask(place(project, name), known, bounds, now, limit)
            if not found or "m" not in found[0] or "n" in found[0]:
                self._known.pop((project, name), None)
                return None
            queue, frontier, _ = self._remember(project, name, found[0], began)
            if known is None or queue != known.queue:
                continue
            if any("due" in one for one in found[1:2]):
                self.change({**queue.scope, **states.due(now, bounds.due)}, states.INTO_LINE, hint=states.BY_TIME)
                continue
            took = time.monotonic() - began
            self.fence(queue.scope, frontier, now)
            if _asks_for_due(frontier, bounds, now, limit):
                frontier.settled(now, took)
            free = sorted((one for one in found[1:] if "n" in one), key=lambda one: bytes(one["_id"]))
            if limit:
                frontier.ended(bounds, took)
                frontier.ahead.forget()
                frontier.has_back = any(one["s"] == BACK for one in free)
                self._note(queue, frontier, bounds, free, now)
            return Look(queue, frontier, free[:limit], any("dead" in one for one in found[-2:]))

    def _glance(self, known: Known, bounds: Bounds, now: float, limit: int) -> Look | None:
        """Look at nothing but the line, as whoever lends one batch after the other may; None: there is more to see."""
        queue, frontier, _ = known
        if queue.policy.has_dlq or frontier.has_back or _asks_for_due(frontier, bounds, now, limit):
            return None
        if not known.is_believed_for_lending():
            return None
        first = frontier.ahead.take(limit) or self._look_apart(known, bounds, now, limit)
        if not first:
            began, whole = time.monotonic(), _is_whole(frontier, limit)
            found = self.free(queue, bounds, now, frontier.ahead.reach(limit) if whole else limit, whole=whole)
            if not found and not known.is_believed():
                return None
            if found and found[0]["s"] == BACK:
                return None
            self._note(queue, frontier, bounds, found, now)
            first = frontier.ahead.keep(found, limit, began)
        return Look(queue, frontier, first, has_dead=False)

    def _look_apart(self, known: Known, bounds: Bounds, now: float, limit: int) -> Sequence[dict[str, Any]]:
        """Look where others are not likely to in a crowd; nothing: look where the line begins."""
        queue, frontier, _ = known
        window = frontier.crowd.window() if limit > 1 else 0
        if not window:
            return ()
        found = self.free(queue, bounds, now, limit, whole=True, skip=window * limit)
        if len(found) < limit:
            frontier.crowd.ends_at(window)
            return ()
        return found if found[0]["s"] == IN_LINE else ()

    def fence(self, scope: Filter, frontier: Frontier, now: float) -> None:
        """Let who looks for what is due in a busy queue not look on and on."""
        if self.link.has_transactions and (until := frontier.fence(now)) is not None:
            fences.move_ahead(self.messages, scope, until)

    def _note(self, queue: Queue, frontier: Frontier, bounds: Bounds, free: list[dict[str, Any]], now: float) -> None:
        """Note where the line begins."""
        first = next((one["_id"] for one in free if one["s"] == IN_LINE), None)
        if frontier.passed(bounds, first, now) and first is not None and first[0] != fences.LAST:
            with suppress(DuplicateKeyError):
                self.messages.insert_one(fences.before(queue.scope, first[0]))

    def _ask(self, where: Filter, known: Known | None, bounds: Bounds, now: float, limit: int) -> list[dict[str, Any]]:
        pipeline: list[dict[str, Any]] = [{"$match": where}, {"$limit": 1}]
        if known is not None:
            guess, frontier, _ = known
            questions = []
            if _asks_for_due(frontier, bounds, now, limit):
                questions.append(_any({**guess.scope, **states.due(now, bounds.due)}, "due", _BY_TIME))
            if limit:
                questions += self.line(guess.scope, bounds, now, limit, whole=_is_whole(frontier, limit))
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
        where = {"$or": lines(queue.scope, bounds, now)}
        shown = None if whole else _FREE
        # The first answer ends the cursor.
        cursor = self.messages.find(where, shown, sort=[*states.IN_ORDER], hint=states.LINE, limit=limit, skip=skip)
        return list(cursor.batch_size(limit + 1))

    def line(
        self, scope: Filter, bounds: Bounds, now: float, limit: int, *, whole: bool = False
    ) -> list[list[dict[str, Any]]]:
        """Return the pipelines that find the first free messages of a settled queue in line, and those back in line."""
        rest: list[dict[str, Any]] = [{"$limit": limit}]
        if not whole:
            rest.append({"$project": {**_FREE}})
        ranges: list[list[dict[str, Any]]] = [
            [{"$match": where}, {"$sort": dict(states.IN_ORDER)}, {"$limit": limit}]
            for where in lines(scope, bounds, now)
        ]
        # The server looks no further once it has enough.
        first, *others, back = ranges
        return [[*first, *self.unions(others), *rest], [*back, *rest]]


def lines(scope: Filter, bounds: Bounds, now: float) -> list[Filter]:
    """Return the filters of the free messages of a settled queue: in line, by order, and then those back in line."""
    posted = [{**scope, **states.in_line(now, IN_LINE), **part} for part in bounds.posted]
    return [*posted, {**scope, **states.in_line(now, BACK)}]


def _asks_for_due(frontier: Frontier, bounds: Bounds, now: float, limit: int) -> bool:
    """Tell whether a look is for what is due, too: not if somebody who lends just did that."""
    return not limit or bounds is EVERYWHERE or not frontier.is_settled(now)


def _is_whole(frontier: Frontier, limit: int) -> bool:
    """Tell whether to read whole messages: not where it may well be another one that is taken, and read then."""
    return limit > 1 or not frontier.crowd.is_there


def _questions_of_the_dead(queue: Queue, now: float) -> list[list[dict[str, Any]]]:
    """Return the pipelines that find something to bury; none for a queue that buries nothing."""
    if not queue.policy.has_dlq:
        return []
    questions = [_any({**queue.scope, "s": DEAD}, "dead")]
    if queue.buries_since is not None:
        # In an order that only the index has which needs to look at but one.
        questions.append(_any({**queue.scope, **states.mortal(queue.buries_since, now)}, "dead", {"$sort": {"x": 1}}))
    return questions


def _any(where: Filter, name: str, *order: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"$match": where}, *order, {"$limit": 1}, {"$project": {"_id": 0, name: "$r"}}]
