"""What the controllers of the message store share: its collections, its time, and what is known of its queues."""

from __future__ import annotations

import time
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool.drivers.mongodb import schema, states
from kombu_pool.drivers.mongodb.claim_cache import ClaimCache
from kombu_pool.drivers.mongodb.codec import NEVER, project_key
from kombu_pool.drivers.mongodb.scan_bounds import ScanBounds
from kombu_pool.storage.policy import Policy, policy_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.collection import Collection

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.mongodb.client import Client
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Project

PLANE = "data"
#: Documents that one command changes at the most, so that none takes longer than a socket waits.
BATCH_SIZE = 1000
#: Seconds for which who posts takes it that a queue is as he saw it. Who changes one lets as much pass, and some more,
#: before he says that he has.
_CACHE_TTL = 0.02
_CACHE_WAIT = 1.5 * _CACHE_TTL
#: The same for who lends: from a queue that is gone he is lent nothing, so only who changes one lets that pass.
_CLAIM_CACHE_TTL = 0.1
_CLAIM_CACHE_WAIT = 1.5 * _CLAIM_CACHE_TTL
_REMEMBERED = 10_000


class Queue(NamedTuple):
    """A queue in one of its lives."""

    project: Project
    name: str
    incarnation: bytes
    metadata: bytes
    #: Since when it buries what expires; None: it does not.
    expires_to_dlq_since: float | None

    @property
    def policy(self) -> Policy:
        """What its metadata asks of the store."""
        return policy_of(self.metadata)

    @property
    def scope(self) -> Filter:
        """What a filter of its messages begins with."""
        return {"p": project_key(self.project), "q": self.name, "i": self.incarnation}

    @property
    def document_filter(self) -> Filter:
        """The filter of its document."""
        return {**queue_filter(self.project, self.name), "_id": self.incarnation}

    def expires_to_dlq(self, expires: float) -> bool:
        """Tell whether a message is buried that expires then."""
        return self.expires_to_dlq_since is not None and expires != NEVER


class CachedQueue(NamedTuple):
    """A queue as it was seen, where to look in it, and when it was asked for, by the monotonic clock."""

    queue: Queue
    scan_bounds: ScanBounds
    seen: float

    def is_fresh(self) -> bool:
        """Tell whether the queue is taken to be as it was seen."""
        return time.monotonic() < self.seen + _CACHE_TTL

    def is_fresh_for_claims(self) -> bool:
        """Tell whether what the queue asks for is taken to be as it was seen, if there is still something in it."""
        return time.monotonic() < self.seen + _CLAIM_CACHE_TTL


class Store:
    """The messages of one database under one prefix."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.client = client
        self.clock = clock
        #: What this process lent.
        self.claim_cache = ClaimCache()
        # Guesses: what they are good for is checked by the command that uses them.
        self._cached: OrderedDict[tuple[Project, str], CachedQueue] = OrderedDict()

    def collection(self, name: str) -> Collection[dict[str, Any]]:
        """Return one of the plane's collections, with its indexes."""
        if PLANE not in self.client.prepared_planes:
            schema.prepare(self.client, PLANE, states.INDEXES)
        return self.client.collection(name)

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
        return self.client.now(self.clock)

    def queue(self, project: Project, name: str) -> Queue | None:
        """Return a queue; None when there is none."""
        asked = time.monotonic()
        found = self.queues.find_one(queue_filter(project, name))
        return None if found is None else self._remember(project, name, found, asked).queue

    def cached_queue(self, project: Project, name: str) -> Queue | None:
        """Return a queue as it was a moment ago; None when there is none. See :meth:`is_sure`."""
        cached = self._cached.get((project, name))
        if cached is not None and cached.is_fresh():
            return cached.queue
        return self.queue(project, name)

    def still_exists(self, queue: Queue) -> bool:
        """Tell whether what was done to a believed queue was done while it was there."""
        cached = self._cached.get((queue.project, queue.name))
        if cached is not None and cached.queue == queue and cached.is_fresh():
            return True
        found = self.queue(queue.project, queue.name)
        return found is not None and found.incarnation == queue.incarnation

    def expect_due(self, project: Project, name: str, at: float) -> None:
        """Note when a message of a queue will be in line."""
        if (cached := self._cached.get((project, name))) is not None:
            cached.scan_bounds.expect_due(at)
            cached.scan_bounds.read_ahead.forget()

    def record_returned(self, project: Project, name: str) -> None:
        """Note that a message of a queue may have come to stand before others."""
        if (cached := self._cached.get((project, name))) is not None:
            cached.scan_bounds.read_ahead.forget()
            cached.scan_bounds.has_back = True

    def wait_out_caches(self, project: Project, name: str, *, for_claims: bool = False) -> None:
        """Wait until nobody believes any more that a queue is as it was before; or nobody who lends, either."""
        self._cached.pop((project, name), None)
        time.sleep(_CLAIM_CACHE_WAIT if for_claims else _CACHE_WAIT)

    def scan_bounds(self, project: Project, name: str, incarnation: bytes) -> ScanBounds:
        """Return what is known of a queue in one of its lives."""
        cached = self._cached.get((project, name))
        return cached.scan_bounds if cached is not None and cached.queue.incarnation == incarnation else ScanBounds()

    def change(self, where: Filter, update: Any, most: int | None = None, hint: str | None = None) -> int:
        """Update messages so that the filter means them no more, as :meth:`remove` deletes them."""
        return self._in_steps(where, lambda some: self.messages.update_many(some, update).modified_count, most, hint)

    def remove(self, where: Filter, most: int | None = None) -> int:
        """Delete messages, step by step, but not many more than ``most``; return how many they were."""
        return self._in_steps(where, lambda some: self.messages.delete_many(some).deleted_count, most, None)

    def _in_steps(self, where: Filter, step: Callable[[Filter], int], most: int | None, hint: str | None) -> int:
        done = 0
        # One cursor: another one would begin by stepping over what is gone.
        with self.messages.find(where, {"_id": 1}, batch_size=BATCH_SIZE, hint=hint) as cursor:
            while most is None or done < most:
                ids = [found["_id"] for found in islice(cursor, BATCH_SIZE)]
                if ids:
                    done += step({**where, "_id": {"$in": ids}})
                if len(ids) < BATCH_SIZE:
                    break
        return done

    def _remember(self, project: Project, name: str, found: dict[str, Any], asked: float) -> CachedQueue:
        queue = Queue(project, name, found["_id"], found["m"], found.get("e"))
        cached = CachedQueue(queue, self.scan_bounds(project, name, queue.incarnation), asked)
        self._cached[project, name] = cached
        self._cached.move_to_end((project, name))
        while len(self._cached) > _REMEMBERED:
            self._cached.popitem(last=False)
        return cached


def queue_filter(project: Project, name: str) -> Filter:
    """Return the filter of a queue by its name."""
    return {"p": project_key(project), "q": name}
