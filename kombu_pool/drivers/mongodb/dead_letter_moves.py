"""The reservation of dead messages by one process, and the move of dead letters to another queue of this store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, OperationFailure

from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.codec import DEAD, FREE_AGAIN, new_claim_id
from kombu_pool.storage.dead_letters import RESERVATION_TTL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo.client_session import ClientSession

    from kombu_pool.drivers.dead_letters import DeadLetter
    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store

_DUPLICATE_KEY = 11000


class Reservation:
    """A process's reservation of dead messages: the owner of a queue's first has the queue, which keeps their order."""

    def __init__(self, store: Store, queue: Queue) -> None:
        self._store = store
        self._queue = queue
        self._mark = new_claim_id()

    def reserve(self, messages: Sequence[bytes]) -> list[bytes]:
        """Reserve messages for ``RESERVATION_TTL``; return those that were free: none if the first was not."""
        now, update = self._store.now(), self._store.messages.update_many
        unreserved = {**self._queue.scope, **states.unreserved_dead(now)}
        change = {"$set": {"r": now + RESERVATION_TTL, "c": self._mark}}
        if not update({**unreserved, "_id": messages[0]}, change).modified_count:
            return []
        others = messages[1:]
        if not others or update({**unreserved, "_id": {"$in": others}}, change).modified_count == len(others):
            return list(messages)
        reserved = {found["_id"] for found in self._store.messages.find(self.filter(messages), {"_id": 1})}
        return [message for message in messages if message in reserved]

    def filter(self, messages: Sequence[bytes]) -> Filter:
        """Return the filter of those of the messages that are still reserved here."""
        return {**self._queue.scope, "_id": {"$in": messages}, "s": DEAD, "c": self._mark}

    def unreserve(self, messages: Sequence[bytes]) -> None:
        """End the reservation of messages."""
        self._store.messages.update_many(self.filter(messages), {"$set": {"r": 0.0}})


def move_letters(store: Store, queue: Queue, target: Queue, letters: Sequence[DeadLetter]) -> int:
    """Move the dead letters that no other process moves at the same time; return their number.

    They are stored in the target and deleted here in one transaction, if the server has transactions.
    """
    ids = store.client.id_generator.next_ids(store.now(), [letter.message.priority for letter in letters])
    documents = {letter.message.id: _to_document(letter, target, new) for letter, new in zip(letters, ids, strict=True)}
    if not store.client.has_transactions:
        return _move_in_steps(store, queue, target, documents)
    store.seal_gates.create(store.messages, target)
    try:
        return store.client.transact(partial(_move_at_once, store, queue, target, documents))
    except OperationFailure as error:
        if error.has_error_label("TransientTransactionError"):
            return 0  # another process moved them in each attempt
        raise


def _to_document(letter: DeadLetter, target: Queue, message: bytes) -> dict[str, Any]:
    """Return the document of a dead letter in a queue of this store, with a given id."""
    ttl, expires = letter.lifetime(target.policy.ttl)
    # Not a new free message: its id may be older than the scan bounds of a process.
    state = {"s": FREE_AGAIN, "r": 0.0, "x": expires, "n": 0, "c": None}
    content = {"t": letter.message.created, "l": ttl, "b": letter.record, "d": dict(letter.header)}
    document: dict[str, Any] = {"_id": message, **target.scope, **state, **content}
    if letter.message.client is not None:
        document["u"] = letter.message.client
    if letter.message.key is not None:
        document["j"] = letter.message.key
    if target.expires_to_dlq(expires):
        document["e"] = True
    return document


def _move_at_once(
    store: Store, queue: Queue, target: Queue, documents: Mapping[bytes, dict[str, Any]], session: ClientSession
) -> int:
    where = {**queue.scope, **states.unreserved_dead(store.now()), "_id": {"$in": [*documents]}}
    present = {found["_id"] for found in store.messages.find(where, {"_id": 1}, session=session)}
    if present:
        if not store.seal_gates.enter(store.messages, target, session):
            return 0
        letters = [document for message, document in documents.items() if message in present]
        store.messages.insert_many(letters, session=session)
        store.messages.delete_many({**where, "_id": {"$in": [*present]}}, session=session)
    return len(present)


def _move_in_steps(store: Store, queue: Queue, target: Queue, documents: Mapping[bytes, dict[str, Any]]) -> int:
    """Store the dead letters under ids that are first written to the messages: a repetition stores none twice."""
    reservation = Reservation(store, queue)
    messages = reservation.reserve([*documents])
    if not messages:
        return 0
    ids = _assign_ids(store, reservation.filter(messages), {message: documents[message] for message in messages})
    refused = _insert(store, [{**documents[message], "_id": ids[message]} for message in ids])
    stored = [message for number, message in enumerate(ids) if number not in refused]
    if (found := store.queue(target.project, target.name)) is not None and found.is_sealed:
        stored = _withdraw(store, target, {message: ids[message] for message in stored})
        reservation.unreserve([message for message in messages if message not in stored])
    return store.messages.delete_many(reservation.filter(stored)).deleted_count


def _assign_ids(store: Store, reserved: Filter, documents: Mapping[bytes, dict[str, Any]]) -> dict[bytes, bytes]:
    """Write the ids of their dead letters to messages that have none yet; return the ids of all."""
    changes = [
        UpdateOne({**reserved, "_id": message}, [{"$set": {"z": {"$ifNull": ["$z", document["_id"]]}}}])
        for message, document in documents.items()
    ]
    store.messages.bulk_write(changes, ordered=False)
    return {found["_id"]: found["z"] for found in store.messages.find(reserved, {"z": 1})}


def _withdraw(store: Store, target: Queue, ids: Mapping[bytes, bytes]) -> list[bytes]:
    """Delete dead letters that were stored in a sealed queue; return the messages of those that are in use already."""
    waiting = {**target.scope, **states.waiting(store.now())}
    return [
        message
        for message, letter in ids.items()
        if not store.messages.delete_one({**waiting, "_id": letter}).deleted_count
    ]


def _insert(store: Store, letters: Sequence[dict[str, Any]]) -> set[int]:
    """Store dead letters, some of which may be stored already; return the indexes of those that are refused."""
    try:
        store.messages.insert_many(letters, ordered=False)
    except BulkWriteError as error:
        failed = (error.details or {}).get("writeErrors", [])
        refused = {one["index"] for one in failed if one["code"] != _DUPLICATE_KEY}
        if len(refused) == len(letters):
            raise
        return refused
    return set()
