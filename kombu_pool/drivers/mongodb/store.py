"""What the controllers of the message store share: its collections, its time, and what is known of its queues."""

from __future__ import annotations

import time
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool.drivers.mongodb import schema, states
from kombu_pool.drivers.mongodb.frontier import Frontier
from kombu_pool.drivers.mongodb.layout import NEVER, project_key
from kombu_pool.drivers.mongodb.ledger import Ledger
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
#: Seconds for which who posts takes it that a queue is as he saw it. Who changes one lets as much pass, and some more,
#: before he says that he has.
_BELIEF = 0.02
_PATIENCE = 1.5 * _BELIEF
#: The same for who lends: from a queue that is gone he is lent nothing, so only who changes one lets that pass.
_LASTING_BELIEF = 0.1
_LASTING_PATIENCE = 1.5 * _LASTING_BELIEF
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


class Known(NamedTuple):
    """A queue as it was seen, where to look in it, and when it was asked for, by the monotonic clock."""

    queue: Queue
    frontier: Frontier
    seen: float

    def is_believed(self) -> bool:
        """Tell whether the queue is taken to be as it was seen."""
        return time.monotonic() < self.seen + _BELIEF

    def is_believed_for_lending(self) -> bool:
        """Tell whether what the queue asks for is taken to be as it was seen, if there is still something in it."""
        return time.monotonic() < self.seen + _LASTING_BELIEF


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
        if known is not None and known.is_believed():
            return known.queue
        return self.queue(project, name)

    def is_sure(self, queue: Queue) -> bool:
        """Tell whether what was done to a believed queue was done while it was there."""
        known = self._known.get((queue.project, queue.name))
        if known is not None and known.queue == queue and known.is_believed():
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
            known.frontier.has_back = True

    def outlast_beliefs(self, project: Project, name: str, *, lasting: bool = False) -> None:
        """Wait until nobody believes any more that a queue is as it was before; or nobody who lends, either."""
        self._known.pop((project, name), None)
        time.sleep(_LASTING_PATIENCE if lasting else _PATIENCE)

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


def place(project: Project, name: str) -> Filter:
    """Return the filter of a queue by its name."""
    return {"p": project_key(project), "q": name}
