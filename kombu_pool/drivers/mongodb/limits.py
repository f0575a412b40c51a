"""Posts to queues with a maximum length: the first free messages make room, or the post is refused."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.codec import FREE_NEW
from kombu_pool.drivers.mongodb.store import BATCH_SIZE
from kombu_pool.errors import ConnectionError, QueueDoesNotExist, QueueIsFull  # noqa: A004 - Zaqar's name for it
from kombu_pool.storage.dead_letters import DeadLetterReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.dead_letters import DeadLetters
    from kombu_pool.drivers.mongodb.posting import MessageWriter
    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner
    from kombu_pool.model import IdempotencyKey

#: Lifetime of the lock on a queue whose owner died, in seconds.
_LOCK_TTL = 20.0
#: Interval between attempts to lock a queue, and the time after which they end with an error, in seconds.
_LOCK_RETRY_INTERVAL = 0.002
_LOCK_TIMEOUT = 25.0


class LengthLimit:
    """Keeps the free messages of a queue within its maximum length."""

    def __init__(self, store: QueueScanner, dead_letters: DeadLetters, writer: MessageWriter) -> None:
        self._store = store
        self._writer = writer
        self._dead_letters = dead_letters

    def post(
        self,
        queue: Queue,
        documents: Sequence[dict[str, Any]],
        idempotency_key: IdempotencyKey | None,
        store: Callable[..., list[bytes]] | None = None,
        replaced: Sequence[dict[str, Any]] = (),
    ) -> list[bytes]:
        """Store documents in a bounded queue and return their ids, as ``store`` does or :meth:`MessageWriter.store`.

        The ``replaced`` ones, which ``store`` deletes, take no room.

        Raises:
            QueueIsFull: the queue refuses them; none was stored.
        """
        store = store or self._writer.store
        if queue.policy.rejects_overflow:
            with self._locked(queue):
                before = None if idempotency_key is None else self._writer.ids_of_duplicate(queue, idempotency_key)
                if before is not None:
                    return before
                self._check_room(queue, documents, replaced)
                return store(queue, documents, idempotency_key, recorded=True)
        ids = store(queue, documents, idempotency_key)
        # Each of several simultaneous producers makes room for all: the last leaves the queue within its limit.
        if self._make_room(queue):
            self._dead_letters.dead_letter_some(queue)
        return ids

    @contextmanager
    def _locked(self, queue: Queue) -> Iterator[None]:
        """Exclude other producers, each of which would count the same room as its own."""
        owner, until = codec.new_claim_id(), time.monotonic() + _LOCK_TIMEOUT
        while not self._lock(queue, owner):
            if self._store.queues.find_one(queue.document_filter, {"_id": 1}) is None:
                raise QueueDoesNotExist(queue.name, queue.project)
            if time.monotonic() > until:
                raise ConnectionError(
                    f"{self._store.client.location}: queue {queue.name!r} stayed locked by other producers for"
                    f" {_LOCK_TIMEOUT:g} s"
                )
            time.sleep(_LOCK_RETRY_INTERVAL)
        try:
            yield
        finally:
            unlock = {"$unset": {"h": True, "u": True}}
            self._store.queues.update_one({**queue.document_filter, "h": owner}, unlock)

    def _lock(self, queue: Queue, owner: str) -> bool:
        now = self._store.now()
        unlocked = {**queue.document_filter, "$or": [{"h": None}, {"h": owner}, {"u": {"$lte": now}}]}
        lock = {"$set": {"h": owner, "u": now + _LOCK_TTL}}
        return bool(self._store.queues.update_one(unlocked, lock).matched_count)

    def _check_room(
        self, queue: Queue, documents: Sequence[dict[str, Any]], replaced: Sequence[dict[str, Any]]
    ) -> None:
        sizes = [len(document["b"]) for document in documents if document["s"] == FREE_NEW]
        if not sizes:
            return
        length, size = self._measure(queue, self._store.now())
        freed = [len(document["b"]) for document in replaced if document["s"] in states.FREE_STATES]
        if not queue.policy.fits(length - len(freed) + len(sizes), size - sum(freed) + sum(sizes)):
            raise QueueIsFull(queue.name, queue.project)

    def _make_room(self, queue: Queue) -> int:
        """Drop the first free messages of a queue over its limit; return their number."""
        if not queue.policy.max_length_bytes:
            return self._drop_excess(queue)
        if queue.policy.fits(*self._measure(queue, self._store.now())):
            return 0
        with self._locked(queue):
            return self._drop_first(queue)

    def _drop_excess(self, queue: Queue) -> int:
        """Drop all but the last ``max_length`` messages of one read: concurrent changes never make those more."""
        now, kept = self._store.now(), queue.policy.max_length
        self._store.advance(queue.project, queue.name, now)
        free = {**queue.scope, **states.free(now)}
        with self._store.messages.find(free, {"_id": 1}, sort=[("_id", -1)], skip=kept, hint=states.BY_ORDER) as cursor:
            excess = [found["_id"] for found in cursor]
        excess.reverse()
        for start in range(0, len(excess), BATCH_SIZE):
            self._drop(queue, excess[start : start + BATCH_SIZE], now)
        return len(excess)

    def _drop_first(self, queue: Queue) -> int:
        """Drop the excess by count and size, under the lock: otherwise each producer would make room for all."""
        now, dropped = self._store.now(), 0
        length, size = self._measure(queue, now)
        while not queue.policy.fits(length, size):
            excess = self._first_excess(queue, length, size, now)
            if not excess:
                break
            self._drop(queue, [one["_id"] for one in excess], now)
            dropped, length = dropped + len(excess), length - len(excess)
            size -= sum(one["size"] for one in excess)
        return dropped

    def _measure(self, queue: Queue, now: float) -> tuple[int, int]:
        """Return the number of free messages, and the bytes of their records if the policy limits those."""
        self._store.advance(queue.project, queue.name, now)
        size: Any = {"$binarySize": "$b"} if queue.policy.max_length_bytes else 0
        pipeline = [
            {"$match": {**queue.scope, **states.free(now)}},
            {"$group": {"_id": None, "length": {"$sum": 1}, "size": {"$sum": size}}},
        ]
        found = next(iter(self._store.messages.aggregate(pipeline, hint=states.BY_ORDER)), None)
        return (0, 0) if found is None else (found["length"], found["size"])

    def _first_excess(self, queue: Queue, length: int, size: int, now: float) -> list[dict[str, Any]]:
        """Return the first free messages that exceed the limit, up to a batch."""
        fields = {"size": {"$binarySize": "$b"}}
        free = {**queue.scope, **states.free(now)}
        excess: list[dict[str, Any]] = []
        with self._store.messages.find(
            free, fields, sort=[("_id", 1)], limit=BATCH_SIZE, hint=states.BY_ORDER
        ) as cursor:
            for found in cursor:
                if queue.policy.fits(length, size):
                    break
                excess.append(found)
                length, size = length - 1, size - found["size"]
        return excess

    def _drop(self, queue: Queue, messages: Sequence[bytes], now: float) -> None:
        where = {**queue.scope, **states.free(now), "_id": {"$in": messages}}
        if queue.policy.has_dlq:
            self._dead_letters.mark_dead(where, DeadLetterReason.MAX_LENGTH)
        else:
            self._store.messages.delete_many(where)
