"""One message store: its queues, and the watches that each queue wakes."""

from __future__ import annotations

import itertools
import secrets
import threading
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

from kombu_pool.drivers.memory.codec import QueueRecord
from kombu_pool.drivers.memory.states import Backlog
from kombu_pool.drivers.memory.unique import UniqueIds
from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.storage.idempotency import IdempotencyCache
from kombu_pool.storage.policy import policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import Metadata, Project
    from kombu_pool.moves import MovedMessage
    from kombu_pool.storage.policy import Policy

Scope: TypeAlias = "tuple[Project, str]"


class Wakeable(Protocol):
    """What a store wakes."""

    def wake(self) -> None:
        """End the wait."""


class StoredQueue(QueueRecord):
    """A queue with its messages and completed posts."""

    policy: Policy

    def __init__(self, metadata: Metadata, backlog: Backlog) -> None:
        super().__init__(metadata)
        self.backlog = backlog
        self.idempotency = IdempotencyCache()
        self.unique_ids = UniqueIds()
        self.incarnation = ""
        self.paused = False
        #: The epoch of the process that may store batches, and the ids in the source of the last one.
        self.epoch = 0
        self.last_batch: Sequence[str] = ()
        #: The messages that are put aside for a move, by id.
        self.put_aside: dict[str, MovedMessage] = {}

    def bear(self, incarnation: str) -> None:
        """Give the queue another incarnation."""
        self.incarnation, self.epoch, self.last_batch = incarnation, 0, ()

    def advance(self, now: float) -> int:
        """Bring every message and claim into its state at ``now``; return the number of those that ended."""
        return self.backlog.advance(now, expires_to_dlq=self.policy.expires_to_dlq)

    def evict(self, now: float) -> int:
        """Forget posts and ids of messages that are gone; return the number."""
        return self.idempotency.evict(now) + self.unique_ids.evict(self.backlog, now)

    def replace(self, metadata: Metadata) -> None:
        super().replace(metadata)
        self.policy = policy(self.metadata)


class DataStore:
    """The queues of one store. Every access to them holds ``lock``."""

    def __init__(self, identity: str = "") -> None:
        self.identity = identity
        self.lock = threading.RLock()
        self.queues: dict[Scope, StoredQueue] = {}
        #: The records of subscriptions, also to queues that do not exist.
        self.subscriptions: dict[Scope, bytes] = {}
        # Starts at random: a re-created queue may live in another pool, where an old id must not name a new message.
        self._sequence = itertools.count(2**48 + secrets.randbits(48))
        self._moved_sequence = itertools.count(secrets.randbits(40) + 1)
        self._watches: dict[Scope, set[Wakeable]] = {}

    def next_id(self) -> int:
        """Return a number that this store has never returned before."""
        return next(self._sequence)

    def next_moved_id(self) -> int:
        """Return such a number that is less than all of :meth:`next_id`."""
        return next(self._moved_sequence)

    def new_queue(self, scope: Scope, metadata: Metadata) -> StoredQueue:
        """Return a queue that wakes the watches of its scope."""
        return StoredQueue(metadata, Backlog(partial(self.wake, scope)))

    def find(self, project: Project, queue: str, now: float) -> StoredQueue | None:
        """Return the queue with every message in its state at ``now``, or None when it is absent."""
        found = self.queues.get((project, queue))
        if found is not None:
            found.advance(now)
        return found

    def require(self, project: Project, queue: str, now: float, incarnation: str | None = None) -> StoredQueue:
        """Return the queue as :meth:`find` does.

        Raises:
            QueueDoesNotExist: it is absent, or does not bear the ``incarnation`` if one is given.
        """
        found = self.find(project, queue, now)
        if found is None or incarnation not in (None, found.incarnation):
            raise QueueDoesNotExist(queue, project)
        return found

    def add_watch(self, scope: Scope, watch: Wakeable) -> None:
        """Register a watch that the queue wakes."""
        self._watches.setdefault(scope, set()).add(watch)

    def drop_watch(self, scope: Scope, watch: Wakeable) -> None:
        """Undo :meth:`add_watch`."""
        watches = self._watches.get(scope, set())
        watches.discard(watch)
        if not watches:
            self._watches.pop(scope, None)

    def wake(self, scope: Scope) -> None:
        """Wake the watches of a queue."""
        for watch in self._watches.get(scope, ()):
            watch.wake()
