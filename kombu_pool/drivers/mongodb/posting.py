"""Stores the messages of a post: all of them or none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError

from kombu_pool.drivers.mongodb import idempotency, states
from kombu_pool.drivers.mongodb.cached_queue import LATE
from kombu_pool.drivers.mongodb.codec import DELAYED_OR_CLAIMED, FREE_AGAIN, FREE_NEW, NEVER, PARTIAL, project_of
from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.model import WAITING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store
    from kombu_pool.model import IdempotencyKey
    from kombu_pool.storage.validation import ValidMessage


class MessageWriter:
    """Stores new messages."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions = idempotency.ProducerSessions(store)

    def documents(
        self, queue: Queue, messages: Sequence[ValidMessage], client_id: str | None, now: float
    ) -> list[dict[str, Any]]:
        """Return the documents of new messages, with their ids."""
        ids = self._store.client.id_generator.next_ids(now, [message.priority for message in messages])
        return [_document(queue, ids[index], message, client_id, now) for index, message in enumerate(messages)]

    def store(
        self,
        queue: Queue,
        documents: Sequence[dict[str, Any]],
        idempotency_key: IdempotencyKey | None = None,
        *,
        recorded: bool = False,
        answer: Sequence[str] | None = None,
    ) -> list[bytes]:
        """Store all documents or none, and return their ids; of a post that was made before, the ids from then.

        With ``recorded`` there is an idempotency record in any case, for :meth:`ids_of_duplicate`. The record contains
        the ``answer``, what the post returns, if that is more than the ids.
        """
        ids = self._store_all(queue, documents, idempotency_key, answer, recorded=recorded)
        self.free_late(documents)
        return ids

    def free_late(self, documents: Sequence[dict[str, Any]]) -> None:
        """Give late documents the state of released ones: other processes may have scanned past their place."""
        if self._store.now() - documents[0]["t"] > LATE:
            late = {"s": {"$in": [FREE_NEW, DELAYED_OR_CLAIMED]}, "r": {"$lte": self._store.now()}}
            self._store.messages.update_many({**_filter_of(documents), **late}, states.MAKE_FREE)

    def _store_all(
        self,
        queue: Queue,
        documents: Sequence[dict[str, Any]],
        idempotency_key: IdempotencyKey | None,
        answer: Sequence[str] | None,
        *,
        recorded: bool,
    ) -> list[bytes]:
        ids = [document["_id"] for document in documents]
        if idempotency_key is not None:
            if len(documents) == 1 and self._store.client.has_transactions and not recorded:
                return [self._sessions.insert(queue, documents[0], idempotency_key)]
            record = idempotency.idempotency_record(queue, idempotency_key, ids, documents[0]["t"], answer)
            return self._store_recorded(documents, record)
        if len(documents) == 1:
            self._store_one(documents[0])
        elif self._store.client.has_transactions:
            self._store.client.transact(lambda session: self._store.messages.insert_many(documents, session=session))
        else:
            self._store_in_steps(documents)
        return ids

    def ids_of_duplicate(self, queue: Queue, idempotency_key: IdempotencyKey) -> list[bytes] | None:
        """Return the ids of a recorded post, and make its messages visible; None without a record."""
        found = self._find(queue.scope, idempotency.record_id(queue, idempotency_key))
        return None if found is None else self._finish(found)

    def _find(self, scope: Filter, record_id: bytes) -> dict[str, Any] | None:
        return self._store.messages.find_one({**scope, "_id": record_id}, hint=states.BY_ID)

    def completed_post(
        self, queue: Queue, idempotency_key: IdempotencyKey
    ) -> tuple[Sequence[bytes], Sequence[str]] | None:
        """Return the ids of a post, and what it returned; None if it was not made, and is refused from now on."""
        now = self._store.now()
        try:
            if self._store.client.has_transactions:
                stored = self._sessions.void(queue, idempotency_key, now)
                return None if stored is None else ([stored], [stored.hex()])
            self._store.messages.insert_one(idempotency.idempotency_record(queue, idempotency_key, (), now))
        except DuplicateKeyError:
            record = self._find(queue.scope, idempotency.record_id(queue, idempotency_key))
            if record is not None and record["k"]:
                return self._finish(record), idempotency.answer_in(record)
        return None

    def _finish(self, record: dict[str, Any]) -> list[bytes]:
        """Return the ids in a record; make their messages visible, as the process that stored them may have died.

        Raises:
            QueueDoesNotExist: the record is void.
        """
        if not record["k"]:
            raise QueueDoesNotExist(record["q"], project_of(record["p"]))
        if (post := record.get("o")) is not None:
            self.make_visible({**_scope(record), "s": PARTIAL, "o": post}, post)
        return list(record["k"])

    def _store_recorded(self, documents: Sequence[dict[str, Any]], record: dict[str, Any]) -> list[bytes]:
        messages, client = self._store.messages, self._store.client
        ids: list[bytes] = record["k"]
        try:
            if client.has_transactions:
                client.transact(lambda session: messages.insert_many([record, *documents], session=session))
            elif len(documents) == 1:
                # The server stores a small insertion of several documents in one step.
                messages.insert_many([record, *documents])
            else:
                ids = self._store_in_steps(documents, record)
        except BulkWriteError as error:
            before = self._find(_scope(record), record["_id"]) if idempotency.is_duplicate(error) else None
            if before is None:
                raise
            ids = self._finish(before)
        return ids

    def _store_one(self, document: dict[str, Any]) -> None:
        try:
            self._store.messages.insert_one(document)
        except AutoReconnect:
            # Both tries have the same id, so the second shows whether the first was done.
            try:
                self._store.messages.insert_one(document)
            except DuplicateKeyError:
                return

    def _store_in_steps(self, documents: Sequence[dict[str, Any]], record: dict[str, Any] | None = None) -> list[bytes]:
        """Store invisible documents, then one that marks the post complete, then make the documents visible.

        After a crash the collector makes them visible if the post is marked complete, and deletes them otherwise. The
        mark is the idempotency record, or without one a document in a collection of its own.
        """
        post = (record["_id"] if record else b"") + os.urandom(12)
        scope = _scope(documents[0])
        partial = {**scope, "s": PARTIAL, "o": post}
        try:
            self._store.messages.insert_many([{**document, "s": PARTIAL, "o": post} for document in documents])
        except AutoReconnect:
            raise
        except Exception:
            self._store.remove(partial)
            raise
        if record is None:
            self._store.collection(states.POSTS).insert_one({"_id": post, **scope})
        elif (before := self._insert_record({**record, "o": post})) is not None:
            self._store.remove(partial)
            return self._finish(before)
        self.make_visible(partial, post)
        return [document["_id"] for document in documents]

    def _insert_record(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Store an idempotency record, or return the one that exists."""
        try:
            self._store.messages.insert_one(record)
        except DuplicateKeyError:
            return self._find(_scope(record), record["_id"])
        return None

    def is_complete(self, scope: Filter, post: bytes) -> bool:
        """Return whether all messages of a post to that queue were stored."""
        if self._store.collection(states.POSTS).find_one({"_id": post}) is not None:
            return True
        record = self._find(scope, idempotency.record_id_of(post))
        return record is not None and record.get("o") == post

    def make_visible(self, partial: dict[str, Any], post: bytes) -> int:
        """Make the messages of a complete post visible; return their number."""
        state = {"$cond": [{"$gt": ["$r", 0]}, DELAYED_OR_CLAIMED, FREE_AGAIN]}
        changed = self._store.messages.update_many(partial, [{"$set": {"s": state}}, {"$unset": "o"}]).modified_count
        self._store.collection(states.POSTS).delete_one({"_id": post})
        return changed


def _scope(document: dict[str, Any]) -> Filter:
    return {key: document[key] for key in ("p", "q", "i")}


def _filter_of(documents: Sequence[dict[str, Any]]) -> Filter:
    return {**_scope(documents[0]), "_id": {"$in": [document["_id"] for document in documents]}}


def _document(
    queue: Queue, message_id: bytes, message: ValidMessage, client_id: str | None, now: float
) -> dict[str, Any]:
    policy = queue.policy
    ttl, delay = message.ttl, policy.delay if message.delay is None else message.delay
    if policy.ttl and (not ttl or ttl > policy.ttl + delay):
        ttl = policy.ttl + delay
    document: dict[str, Any] = {
        "_id": message_id,
        **queue.scope,
        "s": DELAYED_OR_CLAIMED if delay else FREE_NEW,
        "r": now + delay if delay else 0.0,
        "x": now + ttl if ttl else NEVER,
        "n": 0,
        "c": None,
        "t": now,
        "l": ttl,
        "b": message.record,
    }
    if client_id is not None:
        document["u"] = client_id
    if message.key is not None:
        document["j"] = message.key
    if message.unique is not None and isinstance(message.unique.scope, str):
        document["v"] = message.unique.id
        if message.unique.scope == WAITING:
            document["vw"] = True
    elif message.unique is not None:
        document["vs"] = message.unique.id
    if message.dead_letter is not None:
        document["d"] = dict(message.dead_letter)
    if queue.expires_to_dlq(document["x"]):
        document["e"] = True
    return document
