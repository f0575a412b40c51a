"""What the controllers of the message store share: its collections, its time, its queues, and how one is settled."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool.drivers.mongodb import schema, states
from kombu_pool.drivers.mongodb.layout import DEAD, NEVER, project_key
from kombu_pool.storage.policy import Policy, policy_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.collection import Collection

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.mongodb.link import Link
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Project

PLANE = "data"
#: Documents that one command changes at the most, so that none takes longer than a socket waits.
AT_ONCE = 1000
_REMEMBERED = 10_000


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


class Look(NamedTuple):
    """A queue that was just settled, and its first free messages: ``_id`` and ``n`` of each."""

    queue: Queue
    first: list[dict[str, Any]]
    #: Whether something is to be buried; only who looks for free messages is told.
    has_dead: bool


class Store:
    """The messages of one database under one prefix."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self.link = link
        self.clock = clock
        # Guesses: what they are good for is checked by the command that uses them.
        self._known: OrderedDict[tuple[Project, str], Queue] = OrderedDict()

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
        found = self.queues.find_one(place(project, name))
        return None if found is None else self._remember(project, name, found)

    def settled(self, project: Project, name: str, now: float) -> Queue | None:
        """Return a queue of which every message stands in line that may; None when there is none."""
        look = self.look(project, name, now, 0)
        return None if look is None else look.queue

    def look(self, project: Project, name: str, now: float, limit: int) -> Look | None:
        """Settle a queue and look at its first free messages, in one round trip where nothing is to settle."""
        while True:
            guess = self._known.get((project, name))
            found = self._ask(place(project, name), guess, now, limit)
            if not found or "m" not in found[0]:
                return None
            queue = self._remember(project, name, found[0])
            if queue != guess:
                continue
            if len(found) > 1 and "due" in found[1]:
                self.settle(queue, now)
                continue
            # Those that tell of the dead come last.
            has_dead = queue.policy.buries and "dead" in found[-1]
            return Look(queue, [one for one in found[1:] if "n" in one] if has_dead else found[1:], has_dead)

    def _ask(self, where: Filter, guess: Queue | None, now: float, limit: int) -> list[dict[str, Any]]:
        pipeline: list[dict[str, Any]] = [{"$match": where}]
        if guess is not None:
            pipeline.append(self._union(_any({**guess.scope, **states.due(now)}, "due")))
            if limit:
                pipeline.append(self._union(first_in_line(guess.scope, now, limit)))
                pipeline += [self._union(question) for question in _questions_of_the_dead(guess, now)]
        return list(self.queues.aggregate(pipeline, batchSize=limit + 4))

    def _union(self, pipeline: list[dict[str, Any]]) -> dict[str, Any]:
        return {"$unionWith": {"coll": self.messages.name, "pipeline": pipeline}}

    def settle(self, queue: Queue, now: float) -> None:
        """Put all messages of a queue in line whose delay or claim is over."""
        self.change({**queue.scope, **states.due(now)}, states.INTO_LINE)

    def change(self, where: Filter, update: Any, most: int | None = None, hint: str | None = None) -> int:
        """Update messages so that the filter means them no more, as :meth:`remove` deletes them."""
        return self._in_steps(where, lambda some: self.messages.update_many(some, update).modified_count, most, hint)

    def remove(self, where: Filter, most: int | None = None) -> int:
        """Delete messages, step by step, but not many more than ``most``; return how many they were."""
        return self._in_steps(where, lambda some: self.messages.delete_many(some).deleted_count, most, None)

    def _in_steps(self, where: Filter, step: Callable[[Filter], int], most: int | None, hint: str | None) -> int:
        done = 0
        while most is None or done < most:
            ids = [found["_id"] for found in self.messages.find(where, {"_id": 1}, limit=AT_ONCE, hint=hint)]
            if ids:
                done += step({**where, "_id": {"$in": ids}})
            if len(ids) < AT_ONCE:
                break
        return done

    def _remember(self, project: Project, name: str, found: dict[str, Any]) -> Queue:
        queue = self._known[project, name] = Queue(project, name, found["_id"], found["m"], found.get("e"))
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return queue


def first_in_line(scope: Filter, now: float, limit: int) -> list[dict[str, Any]]:
    """Return the pipeline that finds the first free messages of a settled queue."""
    return [
        {"$match": {**scope, **states.in_line(now)}},
        {"$sort": dict(states.IN_ORDER)},
        {"$limit": limit},
        {"$project": {"_id": 1, "n": 1}},
    ]


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
