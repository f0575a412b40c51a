"""The controller of messages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.deletion import ClaimedMessages, delete_claimed
from kombu_pool.drivers.mongodb.inspection import count_many
from kombu_pool.drivers.mongodb.limits import LengthLimit
from kombu_pool.drivers.mongodb.message_keys import KeyedMessages
from kombu_pool.drivers.mongodb.post_confirmation import PostConfirmation
from kombu_pool.drivers.mongodb.posting import MessageWriter
from kombu_pool.drivers.mongodb.unique import UniqueWriter
from kombu_pool.drivers.records import escape_surrogates
from kombu_pool.errors import (
    ClaimDoesNotExist,
    ClaimDoesNotMatch,
    MessageIsClaimed,
    MessageNotClaimed,
    MessageNotClaimedBy,
    QueueDoesNotExist,
    QueueIsEmpty,
)
from kombu_pool.storage import DEFAULT_LIMIT
from kombu_pool.storage import MessageController as Contract
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.inspection import MAX_COUNTED
from kombu_pool.storage.unique import has_unique
from kombu_pool.storage.validation import check_sort, validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.claiming import Claimer
    from kombu_pool.drivers.mongodb.dead_letters import DeadLetters
    from kombu_pool.drivers.mongodb.location import Location
    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import IdempotencyKey, KeyResult, Message, NewMessage, Project, QueueCounts


class MessageController(Contract):
    """Messages, each a document."""

    counted_at_once = 40_000

    def __init__(self, store: QueueScanner, claimer: Claimer, dead_letters: DeadLetters, location: Location) -> None:
        self._store = store
        self._client = store.client
        self._claimer = claimer
        self._dead_letters = dead_letters
        self._writer = MessageWriter(store)
        self._confirmation = PostConfirmation(store, self._writer)
        self._length_limit = LengthLimit(store, dead_letters, self._writer)
        self._keyed = KeyedMessages(store)
        self._unique = UniqueWriter(store, self._writer, self._confirmation, self._length_limit, self._keyed)
        self._limit = location.max_message_size
        self.enable_checksum = location.enable_checksum

    def post(
        self,
        queue: str,
        messages: Iterable[NewMessage],
        client_uuid: object,
        project: Project = None,
        *,
        idempotency_key: IdempotencyKey | None = None,
        incarnation: str | None = None,
    ) -> Sequence[str]:
        client_id = None if client_uuid is None else escape_surrogates(str(client_uuid))
        incoming = [validate(message, self._limit) for message in messages]
        if not incoming:
            return []
        with self._client.translated():
            found = self._store.require_open(project, queue, incarnation)
            if has_unique(incoming):
                return self._unique.post(found, incoming, client_id, idempotency_key)
            documents = self._writer.documents(found, incoming, client_id, self._store.now())
            store = self._length_limit.post if found.policy.is_bounded else self._writer.store
            ids = store(found, documents, idempotency_key)
            self._store.expect_due(project, queue, min((one["r"] or math.inf) for one in documents))
            self._confirmation.check(found, documents, ids)
        return [message.hex() for message in ids]

    def list(
        self,
        queue: str,
        project: Project = None,
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        echo: bool = False,
        client_uuid: object = None,
        include_claimed: bool = False,
        include_delayed: bool = False,
    ) -> Iterator[Any]:
        after = codec.parse_id(marker) if marker else b""
        if after is None:
            return iter(([], ""))
        now = self._store.now()
        with self._client.translated():
            found = self._store.advance(project, queue, now)
            if found is None:
                return iter(([], ""))
            where: Filter = {
                **found.scope,
                "_id": {"$gt": after},
                **_visible_states(now, include_claimed, include_delayed),
            }
            if not echo and client_uuid is not None:
                where["u"] = {"$ne": escape_surrogates(str(client_uuid))}
            cursor = self._store.messages.find(where, sort=[("_id", 1)], limit=limit, hint=states.BY_ORDER)
            messages = [codec.to_message(message, now) for message in cursor]
        return iter((messages, messages[-1]["id"] if messages else ""))

    def _require(self, queue: str, project: Project) -> Queue:
        found = self._store.queue(project, queue)
        if found is None:
            raise QueueDoesNotExist(queue, project)
        return found

    def _find(self, queue: Queue, message: bytes, now: float) -> dict[str, Any] | None:
        return self._store.messages.find_one({**queue.scope, **states.present(now), "_id": message})

    def first(self, queue: str, project: Project = None, sort: int = 1) -> Message:
        check_sort(sort)
        now = self._store.now()
        with self._client.translated():
            found = self._store.advance(project, queue, now)
            if found is None:
                raise QueueDoesNotExist(queue, project)
            where = {**found.scope, **states.free(now)}
            stored = self._store.messages.find_one(where, sort=[("_id", sort)], hint=states.BY_ORDER)
        if stored is None:
            raise QueueIsEmpty(queue, project)
        return codec.to_message(stored, now)

    def bulk_get(self, queue: str, message_ids: Iterable[str], project: Project = None) -> Iterator[Message]:
        ids = codec.parse_ids(message_ids)
        now = self._store.now()
        with self._client.translated():
            found = self._store.queue(project, queue) if ids else None
            if found is None:
                return iter(())
            where = {**found.scope, **states.present(now), "_id": {"$in": ids}}
            stored = {message["_id"]: message for message in self._store.messages.find(where)}
        return iter([codec.to_message(stored[message], now) for message in ids if message in stored])

    def delete(self, queue: str, message_id: str, project: Project = None, claim: str | None = None) -> None:
        message, now = codec.parse_id(message_id), self._store.now()
        with self._client.translated():
            found = self._store.queue(project, queue)
            if found is None:
                return
            if claim is not None and not codec.is_claim_id(claim):
                raise ClaimDoesNotExist(claim, queue, project)
            if message is None or self._delete_one(found, message, claim, now):
                return
            stored = self._find(found, message, now)
            if stored is not None:
                raise self._refusal(found, stored, claim, now)

    def _delete_one(self, queue: Queue, message: bytes, claim: str | None, now: float) -> bool:
        self._store.claim_cache.discard([message.hex()])
        allowed: Filter = {"$nor": [states.claimed(now)]} if claim is None else states.claimed(now, claim)
        where = {**queue.scope, "_id": message, **states.present(now), **allowed}
        return bool(self._store.messages.delete_one(where).deleted_count)

    def _refusal(self, queue: Queue, stored: dict[str, Any], claim: str | None, now: float) -> Exception:
        message_id = stored["_id"].hex()
        if claim is None:
            return MessageIsClaimed(message_id)
        if not states.is_claimed(stored, now):
            return MessageNotClaimed(message_id)
        if self._store.messages.find_one(
            {**queue.scope, **states.claimed(now, claim)}, {"_id": 1}, hint=states.BY_CLAIM
        ):
            return MessageNotClaimedBy(message_id, claim)
        return ClaimDoesNotExist(claim, queue.name, queue.project)

    def bulk_delete(
        self, queue: str, message_ids: Iterable[str], project: Project = None, claim_ids: Sequence[str] | None = None
    ) -> None:
        ids, now = codec.parse_ids(message_ids), self._store.now()
        with self._client.translated():
            found = self._store.queue(project, queue) if ids else None
            if found is None:
                return
            where: Filter = {**found.scope, **states.present(now), "_id": {"$in": ids}}
            if claim_ids is not None:
                self._check_claims(found, where, ids, claim_ids, now)
                where.update(states.claimed(now), c={"$in": list(claim_ids)})
            self._store.claim_cache.discard(message.hex() for message in ids)
            self._store.messages.delete_many(where)

    def _check_claims(
        self, queue: Queue, where: Filter, ids: Sequence[bytes], claim_ids: Sequence[str], now: float
    ) -> None:
        cursor = self._store.messages.find(where, {"s": 1, "r": 1, "c": 1})
        stored = {message["_id"]: message for message in cursor}
        for message in (stored[one] for one in ids if one in stored):
            if not states.is_claimed(message, now):
                raise MessageNotClaimed(message["_id"].hex())
            if message["c"] not in claim_ids:
                raise ClaimDoesNotMatch(message["c"], queue.name, queue.project)

    def pop(self, queue: str, limit: int, project: Project = None) -> Sequence[Message]:
        with self._client.translated():
            return self._claimer.pop(queue, limit, project)

    def delete_claimed(
        self, queue: str, held: Sequence[tuple[str, str]], project: Project = None
    ) -> Sequence[tuple[str, str]]:
        with self._client.translated():
            return delete_claimed(self._store, project, queue, held, self._store.now())

    def reject(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        project: Project = None,
        *,
        reason: str = DeadLetterReason.REJECTED,
    ) -> Sequence[tuple[str, str]]:
        now = self._store.now()
        with self._client.translated():
            found = self._store.queue(project, queue)
            if found is None or not found.policy.has_dlq:
                return delete_claimed(self._store, project, queue, held, now)
            refused = ClaimedMessages(self._store, project, queue, held).reject(now, reason)
        if len(refused) < len(held):
            self._dead_letters.dead_letter_some(found)
        return refused

    def delayed_ids(self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT) -> Sequence[str]:
        return [message_id for message_id, _ in self.due_times(queue, project, limit)]

    def due_times(
        self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT
    ) -> Sequence[tuple[str, float | None]]:
        with self._client.translated():
            found = self._store.queue(project, queue)
            if found is None:
                return []
            where = {**found.scope, **states.delayed(self._store.now())}
            cursor = self._store.messages.find(where, {"r": 1}, sort=[("r", 1)], limit=limit, hint=states.BY_DUE_TIME)
            return [(message["_id"].hex(), message["r"]) for message in cursor]

    def purge(self, queue: str, project: Project = None) -> int:
        now = self._store.now()
        with self._client.translated():
            found = self._store.advance(project, queue, now)
            if found is None:
                return 0
            parts = (states.free(now), states.delayed(now))
            return sum(self._store.remove({**found.scope, **part}) for part in parts)

    def count_many(
        self, queues: Sequence[tuple[Project, str]], limit: int = MAX_COUNTED
    ) -> Sequence[QueueCounts | None]:
        with self._client.translated():
            return count_many(self._store, queues, limit)

    def find(self, key: str, queue: str | None = None, project: Project = None) -> KeyResult:
        with self._client.translated():
            return self._keyed.find(key, queue, project)

    def cancel(self, key: str, queue: str | None = None, project: Project = None) -> KeyResult:
        with self._client.translated():
            return self._keyed.cancel(key, queue, project)

    def change(
        self,
        key: str,
        due: float | None = None,
        priority: int | None = None,
        queue: str | None = None,
        project: Project = None,
    ) -> KeyResult:
        with self._client.translated():
            return self._keyed.change(key, due, priority, queue, project)

    def count(self, queue: str, project: Project = None) -> int:
        now = self._store.now()
        with self._client.translated():
            found = self._store.advance(project, queue, now)
            return 0 if found is None else self._store.messages.count_documents({**found.scope, **states.free(now)})


def _visible_states(now: float, claimed: bool, delayed: bool) -> Filter:
    if not claimed and not delayed:
        return states.free(now)
    if claimed and delayed:
        return states.present(now)
    return {**states.present(now), "$nor": [states.delayed(now) if claimed else states.claimed(now)]}
