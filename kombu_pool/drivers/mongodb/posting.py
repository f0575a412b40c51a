"""How messages get into their queue: all of a post, or none of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError

from kombu_pool.drivers.mongodb import idempotency, states
from kombu_pool.drivers.mongodb.codec import DELAYED_OR_CLAIMED, FREE_AGAIN, FREE_NEW, NEVER, PARTIAL
from kombu_pool.drivers.mongodb.scan_bounds import LATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Queue, Store
    from kombu_pool.model import IdempotencyKey
    from kombu_pool.storage.validation import ValidMessage


class MessageWriter:
    """Stores new messages."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions = idempotency.Sessions(store)

    def documents(
        self, queue: Queue, messages: Sequence[ValidMessage], client: str | None, now: float
    ) -> list[dict[str, Any]]:
        """Return the documents of new messages, with their ids."""
        ids = self._store.client.id_generator.next_ids(now, [message.priority for message in messages])
        return [_document(queue, ids[index], message, client, now) for index, message in enumerate(messages)]

    def store(
        self,
        queue: Queue,
        documents: Sequence[dict[str, Any]],
        idempotency_key: IdempotencyKey | None = None,
        *,
        receipted: bool = False,
    ) -> list[bytes]:
        """Store the documents, all or none of them, and return their ids; or, if this was done before, those of then.

        ``receipted``: so that :meth:`stored` tells.
        """
        ids = self._store_all(queue, documents, idempotency_key, receipted=receipted)
        if self._store.now() - documents[0]["t"] > LATE:
            # Others may have seen the end of the line, or of a delay, meanwhile, and not look there again.
            late = {"s": {"$in": [FREE_NEW, DELAYED_OR_CLAIMED]}, "r": {"$lte": self._store.now()}}
            self._store.messages.update_many({**_these(documents), **late}, states.MAKE_FREE)
        return ids

    def withdraw(self, documents: Sequence[dict[str, Any]]) -> None:
        """Remove what was stored in a queue that turned out to be gone, and that nobody has seen."""
        self._store.messages.delete_many(_these(documents))

    def _store_all(
        self,
        queue: Queue,
        documents: Sequence[dict[str, Any]],
        idempotency_key: IdempotencyKey | None,
        *,
        receipted: bool,
    ) -> list[bytes]:
        ids = [document["_id"] for document in documents]
        if idempotency_key is not None:
            if len(documents) == 1 and self._store.client.has_transactions and not receipted:
                return [self._sessions.insert(queue, documents[0], idempotency_key)]
            return self._store_with_receipt(
                documents, idempotency.receipt(queue, idempotency_key, ids, documents[0]["t"])
            )
        if len(documents) == 1:
            self._store_one(documents[0])
        elif self._store.client.has_transactions:
            self._store.client.transact(lambda session: self._store.messages.insert_many(documents, session=session))
        else:
            self._store_apart(documents)
        return ids

    def stored(self, queue: Queue, idempotency_key: IdempotencyKey) -> list[bytes] | None:
        """Return the ids of a post that left a receipt, whose messages are seen from now on; None: there is none."""
        found = self._find(queue.scope, idempotency.receipt_id(queue, idempotency_key))
        return None if found is None else self._honoured(found)

    def _find(self, scope: Filter, receipt: bytes) -> dict[str, Any] | None:
        return self._store.messages.find_one({**scope, "_id": receipt}, hint=states.BY_ID)

    def _honoured(self, receipt: dict[str, Any]) -> list[bytes]:
        """Return the ids on a receipt, and show its messages if whoever stored them may have died before that."""
        if (post := receipt.get("o")) is not None:
            self.make_visible({**_scope(receipt), "s": PARTIAL, "o": post}, post)
        return list(receipt["k"])

    def _store_with_receipt(self, documents: Sequence[dict[str, Any]], receipt: dict[str, Any]) -> list[bytes]:
        messages, client = self._store.messages, self._store.client
        ids: list[bytes] = receipt["k"]
        try:
            if client.has_transactions:
                client.transact(lambda session: messages.insert_many([receipt, *documents], session=session))
            elif len(documents) == 1:
                # One insertion of a few documents is one step of the server's storage.
                messages.insert_many([receipt, *documents])
            else:
                ids = self._store_apart(documents, receipt)
        except BulkWriteError as error:
            before = self._find(_scope(receipt), receipt["_id"]) if idempotency.is_known(error) else None
            if before is None:
                raise
            ids = self._honoured(before)
        return ids

    def _store_one(self, document: dict[str, Any]) -> None:
        try:
            self._store.messages.insert_one(document)
        except AutoReconnect:
            # Its id was made before: a second try finds out whether the first one arrived.
            try:
                self._store.messages.insert_one(document)
            except DuplicateKeyError:
                return

    def _store_apart(self, documents: Sequence[dict[str, Any]], receipt: dict[str, Any] | None = None) -> list[bytes]:
        """Store documents that nobody sees, then one that says that all are there, and then let them be seen.

        The collector ends what is left half-way: it shows the messages if that one document is there, else it removes
        them. The receipt is that one document if there is to be one.
        """
        post = (receipt["_id"] if receipt else b"") + os.urandom(12)
        scope = _scope(documents[0])
        hidden = [{**document, "s": PARTIAL, "o": post} for document in documents]
        try:
            self._store.messages.insert_many(hidden)
        except AutoReconnect:
            raise
        except Exception:
            self._store.remove({**scope, "s": PARTIAL, "o": post})
            raise
        if receipt is None:
            self._store.collection(states.POSTS).insert_one({"_id": post, **scope})
        elif (before := self._receipt_before({**receipt, "o": post})) is not None:
            self._store.remove({**scope, "s": PARTIAL, "o": post})
            return self._honoured(before)
        self.make_visible({**scope, "s": PARTIAL, "o": post}, post)
        return [document["_id"] for document in documents]

    def _receipt_before(self, receipt: dict[str, Any]) -> dict[str, Any] | None:
        """Store a receipt, or return the one that is there."""
        try:
            self._store.messages.insert_one(receipt)
        except DuplicateKeyError:
            return self._find(_scope(receipt), receipt["_id"])
        return None

    def is_complete(self, scope: Filter, post: bytes) -> bool:
        """Tell whether all messages of a post to that queue were stored."""
        if self._store.collection(states.POSTS).find_one({"_id": post}) is not None:
            return True
        receipt = self._find(scope, idempotency.receipt_of(post))
        return receipt is not None and receipt.get("o") == post

    def make_visible(self, hidden: dict[str, Any], post: bytes) -> int:
        """Show the messages of a post that is whole; return how many they were."""
        state = {"$cond": [{"$gt": ["$r", 0]}, DELAYED_OR_CLAIMED, FREE_AGAIN]}
        changed = self._store.messages.update_many(hidden, [{"$set": {"s": state}}, {"$unset": "o"}]).modified_count
        self._store.collection(states.POSTS).delete_one({"_id": post})
        return changed


def _scope(document: dict[str, Any]) -> Filter:
    return {key: document[key] for key in ("p", "q", "i")}


def _these(documents: Sequence[dict[str, Any]]) -> Filter:
    return {**_scope(documents[0]), "_id": {"$in": [document["_id"] for document in documents]}}


def _document(queue: Queue, message_id: bytes, message: ValidMessage, client: str | None, now: float) -> dict[str, Any]:
    policy = queue.policy
    ttl = min(message.ttl or policy.ttl, policy.ttl) if policy.ttl else message.ttl
    delay = policy.delay if message.delay is None else message.delay
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
    if client is not None:
        document["u"] = client
    if message.dead_letter is not None:
        document["d"] = dict(message.dead_letter)
    if queue.expires_to_dlq(document["x"]):
        document["e"] = True
    return document
