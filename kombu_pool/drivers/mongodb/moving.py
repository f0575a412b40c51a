"""Moves dead letters from one queue of this store to another."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, OperationFailure

from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.letters import document_of
from kombu_pool.drivers.mongodb.parking import Parking

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo.client_session import ClientSession

    from kombu_pool.drivers.mongodb.letters import Letter
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Queue, Store

_DUPLICATE_KEY = 11000


class Mover:
    """Stores letters there and removes their messages here: at once where there are transactions."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def move(self, queue: Queue, target: Queue, letters: Sequence[Letter]) -> int:
        """Move the letters that nobody else moves meanwhile; return how many they were."""
        ids = self._store.link.numbers.take(self._store.now(), [letter.priority for letter in letters])
        documents = {letter.message: document_of(letter, target, new) for letter, new in zip(letters, ids, strict=True)}
        if not self._store.link.has_transactions:
            return self._step_by_step(queue, documents)
        try:
            return self._store.link.transact(partial(self._at_once, queue, documents))
        except OperationFailure as error:
            if error.has_error_label("TransientTransactionError"):
                return 0  # others are at it, and were quicker each time
            raise

    def _at_once(self, queue: Queue, documents: Mapping[bytes, dict[str, Any]], session: ClientSession) -> int:
        where = {**queue.scope, **states.dead(self._store.now()), "_id": {"$in": [*documents]}}
        there = {found["_id"] for found in self._store.messages.find(where, {"_id": 1}, session=session)}
        if there:
            letters = [document for message, document in documents.items() if message in there]
            self._store.messages.insert_many(letters, session=session)
            self._store.messages.delete_many({**where, "_id": {"$in": [*there]}}, session=session)
        return len(there)

    def _step_by_step(self, queue: Queue, documents: Mapping[bytes, dict[str, Any]]) -> int:
        """Store them there, under ids that are written here before, so that whoever does it again stores none twice."""
        parking = Parking(self._store)
        messages = parking.park(queue, [*documents])
        if not messages:
            return 0
        ids = self._named(parking.ours(queue, messages), {message: documents[message] for message in messages})
        refused = self._insert([{**documents[message], "_id": ids[message]} for message in ids])
        stored = [message for number, message in enumerate(ids) if number not in refused]
        return self._store.messages.delete_many(parking.ours(queue, stored)).deleted_count

    def _named(self, ours: Filter, documents: Mapping[bytes, dict[str, Any]]) -> dict[bytes, bytes]:
        """Give messages the ids that their letters will have, unless they got them before; return these."""
        changes = [
            UpdateOne({**ours, "_id": message}, [{"$set": {"z": {"$ifNull": ["$z", document["_id"]]}}}])
            for message, document in documents.items()
        ]
        self._store.messages.bulk_write(changes, ordered=False)
        return {found["_id"]: found["z"] for found in self._store.messages.find(ours, {"z": 1})}

    def _insert(self, letters: Sequence[dict[str, Any]]) -> set[int]:
        """Store letters of which some may be there already; return the numbers of those that the store refuses."""
        try:
            self._store.messages.insert_many(letters, ordered=False)
        except BulkWriteError as error:
            failed = (error.details or {}).get("writeErrors", [])
            refused = {one["index"] for one in failed if one["code"] != _DUPLICATE_KEY}
            if len(refused) == len(letters):
                raise
            return refused
        return set()
