"""Dead letters: what becomes of a dead message where it is buried."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, OperationFailure

from kombu_pool import codec
from kombu_pool.drivers.mongodb import codec as layout
from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.codec import FREE_AGAIN, NEVER, priority_of
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


@dataclass(frozen=True)
class DeadLetterRecord:
    """A dead message on its way to the queue ``target``, or to an exchange if that is None; ``ttl`` 0 is for ever."""

    stored: dict[str, Any]
    target: str | None
    record: bytes
    header: DeadLetter
    ttl: float
    expires: float

    @property
    def message(self) -> bytes:
        """The id of the message that it was."""
        found: bytes = self.stored["_id"]
        return found

    @property
    def priority(self) -> int:
        """The priority that it keeps."""
        return priority_of(self.message)

    @property
    def why(self) -> str:
        """Why the message died, whether or not it can be read."""
        found: str = self.stored["w"]
        return found


def to_dead_letter(queue: Queue, stored: dict[str, Any], now: float) -> DeadLetterRecord:
    """Return the letter of a dead message, which is unreadable if it cannot be read, whatever it died of."""
    target, record, reason = queue.policy.dead_letter_queue, stored["b"], stored["w"]
    try:
        codec.decode(record)
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


def document_of(letter: DeadLetterRecord, target: Queue, message: bytes) -> dict[str, Any]:
    """Return the document of a letter in a queue of this store, under that id."""
    longest = target.policy.ttl
    ttl, expires = letter.ttl, letter.expires
    if longest and expires > letter.header["time"] + longest:
        ttl, expires = longest, letter.header["time"] + longest
    document: dict[str, Any] = {
        "_id": message,
        **target.scope,
        # Its id may have been given long ago.
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


def posted(letter: DeadLetterRecord) -> NewMessage:
    """Return a letter for another store, or for an exchange."""
    return {
        "ttl": None if letter.expires == NEVER else letter.expires - letter.header["time"],
        "body": codec.decode(letter.record),
        "delay": 0,
        "priority": letter.priority,
        "dead_letter": letter.header,
    }


_DUPLICATE_KEY = 11000
_UNRESERVE: Final = {"$set": {"r": 0.0}}


class Reservation:
    """Whoever has the first of a queue's dead has the queue: so they are buried in order, by one at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._mark = layout.new_claim_id()

    def reserve(self, queue: Queue, messages: Sequence[bytes]) -> list[bytes]:
        """Keep messages from others, for a while; return those that nobody else has: none, if he has the first."""
        now, update = self._store.now(), self._store.messages.update_many
        free, reserved = (
            {**queue.scope, **states.unreserved_dead(now)},
            {"$set": {"r": now + RESERVATION_TTL, "c": self._mark}},
        )
        if not update({**free, "_id": messages[0]}, reserved).modified_count:
            return []
        others = messages[1:]
        if not others or update({**free, "_id": {"$in": others}}, reserved).modified_count == len(others):
            return list(messages)
        kept = {found["_id"] for found in self._store.messages.find(self.reserved_filter(queue, messages), {"_id": 1})}
        return [message for message in messages if message in kept]

    def reserved_filter(self, queue: Queue, messages: Sequence[bytes]) -> Filter:
        """Return the filter of those of the messages that are parked here still."""
        return {**queue.scope, "_id": {"$in": messages}, "s": layout.DEAD, "c": self._mark}

    def unreserve(self, queue: Queue, messages: Sequence[bytes]) -> None:
        """Leave messages to others."""
        self._store.messages.update_many(self.reserved_filter(queue, messages), _UNRESERVE)


class DeadLetterMover:
    """Stores letters there and removes their messages here: at once where there are transactions."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def move(self, queue: Queue, target: Queue, letters: Sequence[DeadLetterRecord]) -> int:
        """Move the letters that nobody else moves meanwhile; return how many they were."""
        ids = self._store.client.id_generator.next_ids(self._store.now(), [letter.priority for letter in letters])
        documents = {letter.message: document_of(letter, target, new) for letter, new in zip(letters, ids, strict=True)}
        if not self._store.client.has_transactions:
            return self._step_by_step(queue, documents)
        try:
            return self._store.client.transact(partial(self._at_once, queue, documents))
        except OperationFailure as error:
            if error.has_error_label("TransientTransactionError"):
                return 0  # others are at it, and were quicker each time
            raise

    def _at_once(self, queue: Queue, documents: Mapping[bytes, dict[str, Any]], session: ClientSession) -> int:
        where = {**queue.scope, **states.unreserved_dead(self._store.now()), "_id": {"$in": [*documents]}}
        present = {found["_id"] for found in self._store.messages.find(where, {"_id": 1}, session=session)}
        if present:
            letters = [document for message, document in documents.items() if message in present]
            self._store.messages.insert_many(letters, session=session)
            self._store.messages.delete_many({**where, "_id": {"$in": [*present]}}, session=session)
        return len(present)

    def _step_by_step(self, queue: Queue, documents: Mapping[bytes, dict[str, Any]]) -> int:
        """Store them there, under ids that are written here before, so that whoever does it again stores none twice."""
        reservation = Reservation(self._store)
        messages = reservation.reserve(queue, [*documents])
        if not messages:
            return 0
        ids = self._named(
            reservation.reserved_filter(queue, messages), {message: documents[message] for message in messages}
        )
        refused = self._insert([{**documents[message], "_id": ids[message]} for message in ids])
        stored = [message for number, message in enumerate(ids) if number not in refused]
        return self._store.messages.delete_many(reservation.reserved_filter(queue, stored)).deleted_count

    def _named(self, reserved_filter: Filter, documents: Mapping[bytes, dict[str, Any]]) -> dict[bytes, bytes]:
        """Give messages the ids that their letters will have, unless they got them before; return these."""
        changes = [
            UpdateOne({**reserved_filter, "_id": message}, [{"$set": {"z": {"$ifNull": ["$z", document["_id"]]}}}])
            for message, document in documents.items()
        ]
        self._store.messages.bulk_write(changes, ordered=False)
        return {found["_id"]: found["z"] for found in self._store.messages.find(reserved_filter, {"z": 1})}

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
