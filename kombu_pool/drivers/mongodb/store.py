"""The part of the message store that its controllers share: collections, time, and cached queues."""

from __future__ import annotations

import time
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb import scan_sentinels, schema, states
from kombu_pool.drivers.mongodb.cached_queue import CLAIM_TTL, POST_TTL, CachedQueue, Queue
from kombu_pool.drivers.mongodb.claim_cache import ClaimCache
from kombu_pool.drivers.mongodb.codec import project_key, project_of
from kombu_pool.drivers.mongodb.seal_gates import SealGates
from kombu_pool.errors import QueueDoesNotExist

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pymongo.collection import Collection

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.mongodb.client import Client
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Project

PLANE = "data"
#: Bound of the documents that one command changes, so that none exceeds the socket timeout.
BATCH_SIZE = 1000
#: How long a change of a queue waits, in seconds, so that no post, or no claim, uses the old one after it returns.
_POST_WAIT, _CLAIM_WAIT = 1.5 * POST_TTL, 1.5 * CLAIM_TTL
_MAX_CACHED = 10_000


class Store:
    """The messages of one database under one prefix."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.client = client
        self.clock = clock
        #: The claims of this process.
        self.claim_cache = ClaimCache()
        #: By the incarnations of queues, how many messages each had, and the monotonic time of the count.
        self.sizes: dict[bytes, tuple[int, float]] = {}
        self.seal_gates = SealGates()
        # Guesses: the command that relies on one checks it.
        self._cached: OrderedDict[tuple[Project, str], CachedQueue] = OrderedDict()

    @property
    def identity(self) -> str:
        """The random id of the store, read again as the database may have been dropped."""
        schema.prepare(self.client, PLANE, states.INDEXES, again=True)
        return self.client.identity

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
        """Return a queue; None if it does not exist."""
        before = time.monotonic()
        found = self.queues.find_one(queue_filter(project, name))
        return None if found is None else self.cache(found, before).queue

    def require(self, project: Project, name: str, incarnation: str | None) -> Queue:
        """Return a queue that was read less than the cache's ttl ago; see :meth:`is_fresh`.

        Raises:
            QueueDoesNotExist: it does not exist, or does not bear the ``incarnation`` if one is given.
        """
        cached = self._cached.get((project, name))
        if cached is not None and cached.is_fresh() and (queue := cached.queue).bears(incarnation):
            return queue
        found = self.queue(project, name)
        if found is None or not found.bears(incarnation):
            raise QueueDoesNotExist(name, project)
        return found

    def cached(self, project: Project, name: str, incarnation: str | None) -> CachedQueue | None:
        """Return a cached queue, unless it bears another incarnation of its assignment."""
        cached = self._cached.get((project, name))
        return cached if cached is not None and cached.queue.bears(incarnation) else None

    def require_open(self, project: Project, name: str, incarnation: str | None) -> Queue:
        """Return a queue to post to, as :meth:`require` does; a sealed one does not exist for posts."""
        queue = self.require(project, name, incarnation)
        if queue.is_sealed:
            raise QueueDoesNotExist(name, project)
        return queue

    def is_fresh(self, queue: Queue) -> bool:
        """Return whether a cached queue was as it is throughout the operation that used it."""
        cached = self._cached.get((queue.project, queue.name))
        return cached is not None and cached.is_fresh(queue)

    def expect_due(self, project: Project, name: str, at: float) -> None:
        """Record when a message of a queue becomes free."""
        if (cached := self._cached.get((project, name))) is not None:
            cached.expect_due(at)

    def wake(self, project: Project, name: str) -> None:
        """Wake the watches of a queue that wait for a change of its messages."""
        if self.client.has_transactions:
            scan_sentinels.wake_streams(self.messages, queue_filter(project, name))

    def wait_out_caches(self, project: Project, name: str, *, for_claims: bool = False) -> None:
        """Wait until no post of any process uses a queue as it was before; with ``for_claims``, nor any claim."""
        self.wait_out_caches_of([(project, name)], for_claims=for_claims)

    def wait_out_caches_of(self, queues: Iterable[tuple[Project, str]], *, for_claims: bool = False) -> None:
        """Wait once for many queues, as :meth:`wait_out_caches` does."""
        for scope in queues:
            self._cached.pop(scope, None)
        time.sleep(_CLAIM_WAIT if for_claims else _POST_WAIT)

    def change(self, where: Filter, update: Any, limit: int | None = None, hint: str | None = None) -> int:
        """Update messages, which the filter must not match afterwards, as :meth:`remove` deletes them."""
        return self._in_batches(where, lambda some: self.messages.update_many(some, update).modified_count, limit, hint)

    def remove(self, where: Filter, limit: int | None = None) -> int:
        """Delete messages in batches, up to the batch that reaches ``limit``; return their number."""
        return self._in_batches(where, lambda some: self.messages.delete_many(some).deleted_count, limit, None)

    def _in_batches(self, where: Filter, step: Callable[[Filter], int], limit: int | None, hint: str | None) -> int:
        done = 0
        # One cursor for all: each new one would first step over the index entries of what is deleted.
        with self.messages.find(where, {"_id": 1}, batch_size=BATCH_SIZE, hint=hint) as cursor:
            while limit is None or done < limit:
                ids = [found["_id"] for found in islice(cursor, BATCH_SIZE)]
                if ids:
                    done += step({**where, "_id": {"$in": ids}})
                if len(ids) < BATCH_SIZE:
                    break
        return done

    def cache(self, found: dict[str, Any], read_at: float) -> CachedQueue:
        """Cache a queue's document, which was requested at a monotonic time."""
        project, name = project_of(found["p"]), found["q"]
        queue = Queue(project, name, found["_id"], found["a"], found["m"], found.get("e"), "z" in found)
        cached = self._cached.get((project, name))
        if cached is None or cached.queue.incarnation != queue.incarnation:
            cached = self._cached[project, name] = CachedQueue(queue, read_at)
            while len(self._cached) > _MAX_CACHED:
                self._cached.popitem(last=False)
        else:
            cached.record_read(queue, read_at)
        return cached


def queue_filter(project: Project, name: str) -> Filter:
    """Return the filter of a queue by its name."""
    return {"p": project_key(project), "q": name}


def queues_filter(names: Iterable[tuple[str, str]], field: str = "q") -> Filter:
    """Return the filter of one or more queues by their names, each after the stored form of its project."""
    by_project: dict[str, list[str]] = {}
    for project, name in names:
        by_project.setdefault(project, []).append(name)
    filters = [{"p": project, field: one_of(names)} for project, names in by_project.items()]
    return filters[0] if len(filters) == 1 else {"$or": filters}


def scopes_of(queues: Iterable[tuple[str, str, bytes]]) -> list[Filter]:
    """Return a filter of the messages of queues for each project, by the stored form of that, names and incarnations.

    One filter of all would be searched in no index.
    """
    by_project: dict[str, tuple[list[str], list[bytes]]] = {}
    for project, name, incarnation in queues:
        names, incarnations = by_project.setdefault(project, ([], []))
        names.append(name)
        incarnations.append(incarnation)
    return [{"p": project, "q": one_of(names), "i": one_of(found)} for project, (names, found) in by_project.items()]


def one_of(values: Sequence[Any]) -> Any:
    """Return the condition that a field has one of the values; a router knows the shard of a single one."""
    return values[0] if len(values) == 1 else {"$in": values}
