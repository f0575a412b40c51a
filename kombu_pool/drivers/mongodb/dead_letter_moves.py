"""Dead letters, their reservation by one process, and their move to another queue of this store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, OperationFailure

from kombu_pool.codec import decode
from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.codec import DEAD, FREE_AGAIN, NEVER, new_claim_id, priority_of
from kombu_pool.errors import CorruptRecord
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterReason
from kombu_pool.storage.policy import write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo.client_session import ClientSession

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Queue, Store
    from kombu_pool.model import DeadLetter, NewMessage

_DUPLICATE_KEY = 11000
_UNRESERVE: Final = {"$set": {"r": 0.0}}


@dataclass(frozen=True)
class DeadLetterRecord:
    """A dead message on its way to the queue ``target``, or to an exchange if that is None; ``ttl`` 0 has no end."""

    stored: dict[str, Any]
    target: str | None
    record: bytes
    header: DeadLetter
    ttl: float
    expires: float

    @property
    def message(self) -> bytes:
        """The id of the dead message."""
        found: bytes = self.stored["_id"]
        return found

    @property
    def priority(self) -> int:
        """The priority, which stays."""
        return priority_of(self.message)

    @property
    def reason(self) -> str:
        """The reason of the message's death; the header of an unreadable one has another."""
        found: str = self.stored["w"]
        return found


def to_dead_letter(queue: Queue, stored: dict[str, Any], now: float) -> DeadLetterRecord:
    """Return the dead letter of a dead message; an undecodable one gets the reason ``unreadable``."""
    target, record, reason = queue.policy.dead_letter_queue, stored["b"], stored["w"]
    try:
        decode(record)
    except CorruptRecord as error:
        target, reason = target or UNREADABLE_QUEUE, DeadLetterReason.UNREADABLE
        record = write({"record": record, "error": str(error)})
    header: DeadLetter = {"queue": queue.name, "reason": reason, "time": now, "count": stored["n"]}
    ttl, expires = stored["l"], stored["y"]
    if queue.policy.dead_letter_ttl:
        ttl, expires = queue.policy.dead_letter_ttl, now + queue.policy.dead_letter_ttl
    elif expires <= now:
        ttl, expires = 0, NEVER
    return DeadLetterRecord(stored, target, record, header, ttl, expires)


def to_document(letter: DeadLetterRecord, target: Queue, message: bytes) -> dict[str, Any]:
    """Return the document of a dead letter in a queue of this store, with a given id."""
    max_ttl = target.policy.ttl
    ttl, expires = letter.ttl, letter.expires
    if max_ttl and expires > letter.header["time"] + max_ttl:
        ttl, expires = max_ttl, letter.header["time"] + max_ttl
    document: dict[str, Any] = {
        "_id": message,
        **target.scope,
        # Not a new free message: its id may be older than the scan bounds of a process.
        "s": FREE_AGAIN,
        "r": 0.0,
        "x": expires,
        "n": 0,
        "c": None,
        "t": letter.stored["t"],
        "l": ttl,
        "b": letter.record,
        "d": dict(letter.header),
    }
    if "u" in letter.stored:
        document["u"] = letter.stored["u"]
    if target.expires_to_dlq(expires):
        document["e"] = True
    return document


def to_new_message(letter: DeadLetterRecord) -> NewMessage:
    """Return a dead letter as a message for another store, or for an exchange."""
    return {
        "ttl": None if letter.expires == NEVER else letter.expires - letter.header["time"],
        "body": decode(letter.record),
        "delay": 0,
        "priority": letter.priority,
        "dead_letter": letter.header,
    }


class Reservation:
    """A process's reservation of dead messages: the owner of a queue's first has the queue, which keeps their order."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._mark = new_claim_id()

    def reserve(self, queue: Queue, messages: Sequence[bytes]) -> list[bytes]:
        """Reserve messages for ``RESERVATION_TTL``; return those that were free: none if the first was not."""
        now, update = self._store.now(), self._store.messages.update_many
        unreserved = {**queue.scope, **states.unreserved_dead(now)}
        change = {"$set": {"r": now + RESERVATION_TTL, "c": self._mark}}
        if not update({**unreserved, "_id": messages[0]}, change).modified_count:
            return []
        others = messages[1:]
        if not others or update({**unreserved, "_id": {"$in": others}}, change).modified_count == len(others):
            return list(messages)
        reserved = {found["_id"] for found in self._store.messages.find(self.filter(queue, messages), {"_id": 1})}
        return [message for message in messages if message in reserved]

    def filter(self, queue: Queue, messages: Sequence[bytes]) -> Filter:
        """Return the filter of those of the messages that are still reserved here."""
        return {**queue.scope, "_id": {"$in": messages}, "s": DEAD, "c": self._mark}

    def unreserve(self, queue: Queue, messages: Sequence[bytes]) -> None:
        """End the reservation of messages."""
        self._store.messages.update_many(self.filter(queue, messages), _UNRESERVE)


class DeadLetterMover:
    """Stores dead letters in the target and deletes their messages, in one transaction if the server has them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def move(self, queue: Queue, target: Queue, letters: Sequence[DeadLetterRecord]) -> int:
        """Move the dead letters that no other process moves at the same time; return their number."""
        ids = self._store.client.id_generator.next_ids(self._store.now(), [letter.priority for letter in letters])
        documents = {letter.message: to_document(letter, target, new) for letter, new in zip(letters, ids, strict=True)}
        if not self._store.client.has_transactions:
            return self._move_in_steps(queue, documents)
        try:
            return self._store.client.transact(partial(self._move_at_once, queue, documents))
        except OperationFailure as error:
            if error.has_error_label("TransientTransactionError"):
                return 0  # another process moved them in each attempt
            raise

    def _move_at_once(self, queue: Queue, documents: Mapping[bytes, dict[str, Any]], session: ClientSession) -> int:
        where = {**queue.scope, **states.unreserved_dead(self._store.now()), "_id": {"$in": [*documents]}}
        present = {found["_id"] for found in self._store.messages.find(where, {"_id": 1}, session=session)}
        if present:
            letters = [document for message, document in documents.items() if message in present]
            self._store.messages.insert_many(letters, session=session)
            self._store.messages.delete_many({**where, "_id": {"$in": [*present]}}, session=session)
        return len(present)

    def _move_in_steps(self, queue: Queue, documents: Mapping[bytes, dict[str, Any]]) -> int:
        """Store the dead letters under ids that are first written to the messages: a repetition stores none twice."""
        reservation = Reservation(self._store)
        messages = reservation.reserve(queue, [*documents])
        if not messages:
            return 0
        ids = self._assign_ids(
            reservation.filter(queue, messages), {message: documents[message] for message in messages}
        )
        refused = self._insert([{**documents[message], "_id": ids[message]} for message in ids])
        stored = [message for number, message in enumerate(ids) if number not in refused]
        return self._store.messages.delete_many(reservation.filter(queue, stored)).deleted_count

    def _assign_ids(self, reserved: Filter, documents: Mapping[bytes, dict[str, Any]]) -> dict[bytes, bytes]:
        """Write the ids of their dead letters to messages that have none yet; return the ids of all."""
        changes = [
            UpdateOne({**reserved, "_id": message}, [{"$set": {"z": {"$ifNull": ["$z", document["_id"]]}}}])
            for message, document in documents.items()
        ]
        self._store.messages.bulk_write(changes, ordered=False)
        return {found["_id"]: found["z"] for found in self._store.messages.find(reserved, {"z": 1})}

    def _insert(self, letters: Sequence[dict[str, Any]]) -> set[int]:
        """Store dead letters, some of which may be stored already; return the indexes of those that are refused."""
        try:
            self._store.messages.insert_many(letters, ordered=False)
        except BulkWriteError as error:
            failed = (error.details or {}).get("writeErrors", [])
            refused = {one["index"] for one in failed if one["code"] != _DUPLICATE_KEY}
            if len(refused) == len(letters):
                raise
            return refused
        return set()
