"""What the controllers of the message store share: its collections, its time, its queues, and how one is settled."""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb import fences, schema, states
from kombu_pool.drivers.mongodb.frontier import EVERYWHERE, Bounds, Frontier
from kombu_pool.drivers.mongodb.layout import BACK, DEAD, IN_LINE, NEVER, project_key
from kombu_pool.drivers.mongodb.ledger import Ledger
from kombu_pool.storage.policy import Policy, policy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pymongo.collection import Collection

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.mongodb.link import Link
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Project

PLANE = "data"
#: Documents that one command changes at the most, so that none takes longer than a socket waits.
AT_ONCE = 1000
#: Seconds for which who posts takes it that a queue is as he saw it. Who changes one lets as much pass, and some more,
#: before he says that he has.
_BELIEF = 0.02
_PATIENCE = 1.5 * _BELIEF
_REMEMBERED = 10_000
#: What is read of a free message that others may be quicker to take.
_FREE = {"_id": 1, "s": 1, "n": 1, "x": 1}


class Queue(NamedTuple):
    """A queue in one of its lives."""

    project: Project
    name: str
    incarnation: bytes
    metadata: bytes
    #: Since when it buries what expires; None: it does not.
    buries_since: float | None

    @property
    def policy(self) -> Policy:
        """What its metadata asks of the store."""
        return policy_of(self.metadata)

    @property
    def scope(self) -> Filter:
        """What a filter of its messages begins with."""
        return {"p": project_key(self.project), "q": self.name, "i": self.incarnation}

    @property
    def where(self) -> Filter:
        """The filter of its document."""
        return {**place(self.project, self.name), "_id": self.incarnation}

    def is_mortal(self, expires: float) -> bool:
        """Tell whether a message is buried that expires then."""
        return self.buries_since is not None and expires != NEVER


class Known(NamedTuple):
    """A queue as it was seen, where to look in it, and when it was asked for, by the monotonic clock."""

    queue: Queue
    frontier: Frontier
    seen: float


class Look(NamedTuple):
    """A queue that was just settled, and its first free messages: whole, or ``_id``, ``s``, ``n``, ``x``."""

    queue: Queue
    frontier: Frontier
    first: Sequence[dict[str, Any]]
    #: Whether something is to be buried; only who looks for free messages is told.
    has_dead: bool


class Store:
    """The messages of one database under one prefix."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self.link = link
        self.clock = clock
        #: What this process lent.
        self.ledger = Ledger()
        # Guesses: what they are good for is checked by the command that uses them.
        self._known: OrderedDict[tuple[Project, str], Known] = OrderedDict()

    def collection(self, name: str) -> Collection[dict[str, Any]]:
        """Return one of the plane's collections, with its indexes."""
        if PLANE not in self.link.prepared:
            schema.prepare(self.link, PLANE, states.INDEXES)
        return self.link.collection(name)

    @property
    def messages(self) -> Collection[dict[str, Any]]:
        """The messages of all queues."""
        return self.collection(states.MESSAGES)

    @property
    def queues(self) -> Collection[dict[str, Any]]:
        """The queues."""
        return self.collection(states.QUEUES)

    def now(self) -> float:
        """Return the store's time."""
        return self.link.now(self.clock)

    def queue(self, project: Project, name: str) -> Queue | None:
        """Return a queue; None when there is none."""
        asked = time.monotonic()
        found = self.queues.find_one(place(project, name))
        return None if found is None else self._remember(project, name, found, asked).queue

    def believed(self, project: Project, name: str) -> Queue | None:
        """Return a queue as it was a moment ago; None when there is none. See :meth:`is_sure`."""
        known = self._known.get((project, name))
        if known is not None and time.monotonic() < known.seen + _BELIEF:
            return known.queue
        return self.queue(project, name)

    def is_sure(self, queue: Queue) -> bool:
        """Tell whether what was done to a believed queue was done while it was there."""
        known = self._known.get((queue.project, queue.name))
        if known is not None and known.queue == queue and time.monotonic() < known.seen + _BELIEF:
            return True
        found = self.queue(queue.project, queue.name)
        return found is not None and found.incarnation == queue.incarnation

    def awaits(self, project: Project, name: str, at: float) -> None:
        """Note when a message of a queue will be in line."""
        if (known := self._known.get((project, name))) is not None:
            known.frontier.awaits(at)
            known.frontier.ahead.forget()

    def overtaken(self, project: Project, name: str) -> None:
        """Note that a message of a queue may have come to stand before others."""
        if (known := self._known.get((project, name))) is not None:
            known.frontier.ahead.forget()

    def outlast_beliefs(self, project: Project, name: str) -> None:
        """Wait until nobody believes any more that a queue is as it was before."""
        self._known.pop((project, name), None)
        time.sleep(_PATIENCE)

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
                self.change({**queue.scope, **states.due(now, bounds.due)}, states.INTO_LINE)
                continue
            took = time.monotonic() - began
            self.fence(queue.scope, frontier, now)
            if _asks_for_due(frontier, bounds, now, limit):
                frontier.settled(now, took)
            free = [one for one in found[1:] if "n" in one]
            if limit:
                frontier.ended(bounds, took)
                frontier.ahead.forget()
                frontier.has_back = any(one["s"] == BACK for one in free)
                self._note(queue, frontier, bounds, free, now)
            return Look(queue, frontier, _in_order(free, limit), any("dead" in one for one in found[-2:]))

    def _glance(self, known: Known, bounds: Bounds, now: float, limit: int) -> Look | None:
        """Look at nothing but the line, as whoever lends one batch after the other may; None: there is more to see."""
        queue, frontier, seen = known
        if queue.policy.buries or frontier.has_back or _asks_for_due(frontier, bounds, now, limit):
            return None
        if time.monotonic() >= seen + _BELIEF and self.queue(queue.project, queue.name) != queue:
            return None
        first = frontier.ahead.take(limit)
        if not first:
            began, whole = time.monotonic(), not frontier.is_crowded
            found = self.free(queue, bounds, now, frontier.ahead.reach(limit) if whole else limit, whole=whole)
            if found and found[0]["s"] == BACK:
                return None
            self.fence(queue.scope, frontier, now)
            self._note(queue, frontier, bounds, found, now)
            first = frontier.ahead.keep(found, limit, began)
        return Look(queue, frontier, first, has_dead=False)

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
                questions.append(_any({**guess.scope, **states.due(now, bounds.due)}, "due"))
            if limit:
                questions += self.line(guess.scope, bounds, now, limit, whole=not frontier.is_crowded)
                questions += _questions_of_the_dead(guess, now)
            pipeline += self.unions(questions)
        return list(self.queues.aggregate(pipeline, batchSize=2 * limit + 4))

    def unions(self, questions: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Return the stages that add what pipelines find among the messages."""
        return [{"$unionWith": {"coll": self.messages.name, "pipeline": question}} for question in questions]

    def free(
        self, queue: Queue, bounds: Bounds, now: float, limit: int, *, whole: bool = False
    ) -> list[dict[str, Any]]:
        """Return the first free messages of a queue that is settled: those back in line first, wherever they stood."""
        where = {"$or": lines(queue.scope, bounds, now)}
        shown = None if whole else _FREE
        # The first answer ends the cursor.
        cursor = self.messages.find(where, shown, sort=[*states.IN_ORDER], hint=states.LINE, limit=limit)
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

    def frontier(self, project: Project, name: str, incarnation: bytes) -> Frontier:
        """Return what is known of a queue in one of its lives."""
        known = self._known.get((project, name))
        return known.frontier if known is not None and known.queue.incarnation == incarnation else Frontier()

    def change(self, where: Filter, update: Any, most: int | None = None, hint: str | None = None) -> int:
        """Update messages so that the filter means them no more, as :meth:`remove` deletes them."""
        return self._in_steps(where, lambda some: self.messages.update_many(some, update).modified_count, most, hint)

    def remove(self, where: Filter, most: int | None = None) -> int:
        """Delete messages, step by step, but not many more than ``most``; return how many they were."""
        return self._in_steps(where, lambda some: self.messages.delete_many(some).deleted_count, most, None)

    def _in_steps(self, where: Filter, step: Callable[[Filter], int], most: int | None, hint: str | None) -> int:
        done = 0
        # One cursor: another one would begin by stepping over what is gone.
        with self.messages.find(where, {"_id": 1}, batch_size=AT_ONCE, hint=hint) as cursor:
            while most is None or done < most:
                ids = [found["_id"] for found in islice(cursor, AT_ONCE)]
                if ids:
                    done += step({**where, "_id": {"$in": ids}})
                if len(ids) < AT_ONCE:
                    break
        return done

    def _remember(self, project: Project, name: str, found: dict[str, Any], asked: float) -> Known:
        queue = Queue(project, name, found["_id"], found["m"], found.get("e"))
        known = Known(queue, self.frontier(project, name, queue.incarnation), asked)
        self._known[project, name] = known
        self._known.move_to_end((project, name))
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return known


def lines(scope: Filter, bounds: Bounds, now: float) -> list[Filter]:
    """Return the filters of the free messages of a settled queue: in line, by order, and then those back in line."""
    posted = [{**scope, **states.in_line(now, IN_LINE), **part} for part in bounds.posted]
    return [*posted, {**scope, **states.in_line(now, BACK)}]


def _asks_for_due(frontier: Frontier, bounds: Bounds, now: float, limit: int) -> bool:
    """Tell whether a look is for what is due, too: not if somebody who lends just did that."""
    return not limit or bounds is EVERYWHERE or not frontier.is_settled(now)


def _in_order(found: Iterable[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    return sorted(found, key=lambda one: bytes(one["_id"]))[:limit]


def _questions_of_the_dead(queue: Queue, now: float) -> list[list[dict[str, Any]]]:
    """Return the pipelines that find something to bury; none for a queue that buries nothing."""
    if not queue.policy.buries:
        return []
    questions = [_any({**queue.scope, "s": DEAD}, "dead")]
    if queue.buries_since is not None:
        # In an order that only the index has which needs to look at but one.
        questions.append(_any({**queue.scope, **states.mortal(queue.buries_since, now)}, "dead", {"$sort": {"x": 1}}))
    return questions


def _any(where: Filter, name: str, *order: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"$match": where}, *order, {"$limit": 1}, {"$project": {"_id": 0, name: "$r"}}]


def place(project: Project, name: str) -> Filter:
    """Return the filter of a queue by its name."""
    return {"p": project_key(project), "q": name}
