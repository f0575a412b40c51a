"""How messages get into their queue: all of a post, or none of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pymongo.errors import AutoReconnect, DuplicateKeyError

from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.frontier import LATE
from kombu_pool.drivers.mongodb.layout import BACK, IN_LINE, NEVER, UNFINISHED, WAITING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Queue, Store
    from kombu_pool.storage.incoming import Incoming


class Poster:
    """Stores new messages."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def documents(
        self, queue: Queue, messages: Sequence[Incoming], client: str | None, now: float
    ) -> list[dict[str, Any]]:
        """Return the documents of new messages, with their ids."""
        ids = self._store.link.numbers.take(now, [message.priority for message in messages])
        return [_document(queue, ids[index], message, client, now) for index, message in enumerate(messages)]

    def store(self, documents: Sequence[dict[str, Any]]) -> None:
        """Store the documents, all or none of them."""
        self._store_all(documents)
        if self._store.now() - documents[0]["t"] > LATE:
            # Others may have seen the end of the line, or of a delay, meanwhile, and not look there again.
            late = {"s": {"$in": [IN_LINE, WAITING]}, "r": {"$lte": self._store.now()}}
            self._store.messages.update_many({**_these(documents), **late}, states.INTO_LINE)

    def withdraw(self, documents: Sequence[dict[str, Any]]) -> None:
        """Remove what was stored in a queue that turned out to be gone, and that nobody has seen."""
        self._store.messages.delete_many(_these(documents))

    def _store_all(self, documents: Sequence[dict[str, Any]]) -> None:
        if len(documents) == 1:
            self._store_one(documents[0])
        elif self._store.link.has_transactions:
            self._store.link.transact(lambda session: self._store.messages.insert_many(documents, session=session))
        else:
            self._store_apart(documents)

    def _store_one(self, document: dict[str, Any]) -> None:
        try:
            self._store.messages.insert_one(document)
        except AutoReconnect:
            # Its id was made before: a second try finds out whether the first one arrived.
            try:
                self._store.messages.insert_one(document)
            except DuplicateKeyError:
                return

    def _store_apart(self, documents: Sequence[dict[str, Any]]) -> None:
        """Store documents that nobody sees, then one that says that all are there, and then let them be seen.

        The collector ends what is left half-way: it shows the messages if that one document is there, else it removes
        them.
        """
        post = os.urandom(12)
        scope = {key: documents[0][key] for key in ("p", "q", "i")}
        hidden = [{**document, "s": UNFINISHED, "o": post} for document in documents]
        try:
            self._store.messages.insert_many(hidden)
        except AutoReconnect:
            raise
        except Exception:
            self._store.remove({**scope, "s": UNFINISHED, "o": post})
            raise
        self._store.collection(states.POSTS).insert_one({"_id": post, **scope})
        self.show({**scope, "s": UNFINISHED, "o": post}, post)

    def show(self, hidden: dict[str, Any], post: bytes) -> int:
        """Show the messages of a post that is whole; return how many they were."""
        state = {"$cond": [{"$gt": ["$r", 0]}, WAITING, BACK]}
        changed = self._store.messages.update_many(hidden, [{"$set": {"s": state}}, {"$unset": "o"}]).modified_count
        self._store.collection(states.POSTS).delete_one({"_id": post})
        return changed


def _these(documents: Sequence[dict[str, Any]]) -> Filter:
    scope = {key: documents[0][key] for key in ("p", "q", "i")}
    return {**scope, "_id": {"$in": [document["_id"] for document in documents]}}


def _document(queue: Queue, message_id: bytes, message: Incoming, client: str | None, now: float) -> dict[str, Any]:
    policy = queue.policy
    ttl = min(message.ttl or policy.ttl, policy.ttl) if policy.ttl else message.ttl
    delay = policy.delay if message.delay is None else message.delay
    document: dict[str, Any] = {
        "_id": message_id,
        **queue.scope,
        "s": WAITING if delay else IN_LINE,
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
    if queue.is_mortal(document["x"]):
        document["e"] = True
    return document
