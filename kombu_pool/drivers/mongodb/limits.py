"""Posts to queues of a longest length: what is first in line makes room, or what is new is refused."""

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
    from collections.abc import Iterator, Sequence

    from kombu_pool.drivers.mongodb.dead_letters import DeadLetters
    from kombu_pool.drivers.mongodb.posting import MessageWriter
    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner
    from kombu_pool.drivers.mongodb.store import Queue
    from kombu_pool.model import IdempotencyKey

#: Seconds after which a queue is not kept from others any more by somebody who must have died while he posted.
_LOCK_TTL = 20.0
#: Seconds between two attempts to get hold of a queue, and for which that is tried.
_LOCK_RETRY_INTERVAL = 0.002
_LOCK_TIMEOUT = 25.0


class Bounds:
    """Keeps the free messages of a queue within its longest length."""

    def __init__(self, store: QueueScanner, dead_letters: DeadLetters, writer: MessageWriter) -> None:
        self._store = store
        self._writer = writer
        self._dead_letters = dead_letters

    def post(
        self, queue: Queue, documents: Sequence[dict[str, Any]], idempotency_key: IdempotencyKey | None
    ) -> list[bytes]:
        """Store documents in a bounded queue, and return their ids, as :meth:`Poster.store` does.

        Raises:
            QueueIsFull: it refuses them; none was stored.
        """
        if queue.policy.rejects_overflow:
            with self._held(queue):
                before = None if idempotency_key is None else self._writer.stored(queue, idempotency_key)
                if before is not None:
                    return before
                self._check_room(queue, documents)
                return self._writer.store(queue, documents, idempotency_key, receipted=True)
        ids = self._writer.store(queue, documents, idempotency_key)
        # Who posts at the same time makes room, too, for both: the last one leaves no more than there may be.
        if self._make_room(queue):
            self._dead_letters.dead_letter_some(queue)
        return ids

    @contextmanager
    def _held(self, queue: Queue) -> Iterator[None]:
        """Keep other posters from the queue, each of whom would see room that only one of them can have."""
        mark, until = codec.new_claim_id(), time.monotonic() + _LOCK_TIMEOUT
        while not self._hold(queue, mark):
            if self._store.queues.find_one(queue.document_filter, {"_id": 1}) is None:
                raise QueueDoesNotExist(queue.name, queue.project)
            if time.monotonic() > until:
                raise ConnectionError(f"{self._store.client.location}: others post to {queue.name!r} all the time")
            time.sleep(_LOCK_RETRY_INTERVAL)
        try:
            yield
        finally:
            self._store.queues.update_one({**queue.document_filter, "h": mark}, {"$unset": {"h": True, "u": True}})

    def _hold(self, queue: Queue, mark: str) -> bool:
        now = self._store.now()
        free = {**queue.document_filter, "$or": [{"h": None}, {"h": mark}, {"u": {"$lte": now}}]}
        held = {"$set": {"h": mark, "u": now + _LOCK_TTL}}
        return bool(self._store.queues.update_one(free, held).matched_count)

    def _check_room(self, queue: Queue, documents: Sequence[dict[str, Any]]) -> None:
        sizes = [len(document["b"]) for document in documents if document["s"] == FREE_NEW]
        if not sizes:
            return
        length, size = self._measure(queue, self._store.now())
        if not queue.policy.fits(length + len(sizes), size + sum(sizes)):
            raise QueueIsFull(queue.name, queue.project)

    def _make_room(self, queue: Queue) -> int:
        """Take the first free messages out of a queue that is too long; return how many."""
        if not queue.policy.max_length_bytes:
            return self._drop_excess(queue)
        if queue.policy.fits(*self._measure(queue, self._store.now())):
            return 0
        with self._held(queue):
            return self._drop_first(queue)

    def _drop_excess(self, queue: Queue) -> int:
        """Drop all but the last so many, as one look saw them: nothing that others do meanwhile makes them more."""
        now, most = self._store.now(), queue.policy.max_length
        self._store.advance(queue.project, queue.name, now)
        free = {**queue.scope, **states.free(now)}
        with self._store.messages.find(free, {"_id": 1}, sort=[("_id", -1)], skip=most, hint=states.BY_ORDER) as cursor:
            doomed = [found["_id"] for found in cursor]
        doomed.reverse()
        for start in range(0, len(doomed), BATCH_SIZE):
            self._remove(queue, doomed[start : start + BATCH_SIZE], now)
        return len(doomed)

    def _drop_first(self, queue: Queue) -> int:
        """Drop as many as are too much by what was measured: only one at a time, or each would make room for all."""
        now, gone = self._store.now(), 0
        length, size = self._measure(queue, now)
        while not queue.policy.fits(length, size):
            doomed = self._first(queue, length, size, now)
            if not doomed:
                break
            self._remove(queue, [one["_id"] for one in doomed], now)
            gone, length = gone + len(doomed), length - len(doomed)
            size -= sum(one["size"] for one in doomed)
        return gone

    def _measure(self, queue: Queue, now: float) -> tuple[int, int]:
        """Count the free messages and the bytes of their records, if those matter."""
        self._store.advance(queue.project, queue.name, now)
        size: Any = {"$binarySize": "$b"} if queue.policy.max_length_bytes else 0
        pipeline = [
            {"$match": {**queue.scope, **states.free(now)}},
            {"$group": {"_id": None, "length": {"$sum": 1}, "size": {"$sum": size}}},
        ]
        found = next(iter(self._store.messages.aggregate(pipeline, hint=states.BY_ORDER)), None)
        return (0, 0) if found is None else (found["length"], found["size"])

    def _first(self, queue: Queue, length: int, size: int, now: float) -> list[dict[str, Any]]:
        """Return some of the first in line that are too many, or too large together."""
        shown = {"size": {"$binarySize": "$b"}}
        where = {**queue.scope, **states.free(now)}
        doomed: list[dict[str, Any]] = []
        with self._store.messages.find(
            where, shown, sort=[("_id", 1)], limit=BATCH_SIZE, hint=states.BY_ORDER
        ) as cursor:
            for found in cursor:
                if queue.policy.fits(length, size):
                    break
                doomed.append(found)
                length, size = length - 1, size - found["size"]
        return doomed

    def _remove(self, queue: Queue, messages: Sequence[bytes], now: float) -> None:
        where = {**queue.scope, **states.free(now), "_id": {"$in": messages}}
        if queue.policy.has_dlq:
            self._dead_letters.mark_dead(where, DeadLetterReason.MAX_LENGTH)
        else:
            self._store.messages.delete_many(where)
