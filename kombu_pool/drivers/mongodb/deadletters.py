"""Dead letters: messages that were lent too often, or cannot be read, on their way to a queue of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from kombu_pool import records
from kombu_pool.drivers.mongodb import layout, states
from kombu_pool.drivers.mongodb.layout import IN_LINE, NEVER, priority_of
from kombu_pool.drivers.mongodb.queues import QueueController
from kombu_pool.errors import CorruptRecord, KombuPoolError
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.policy import write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymongo.client_session import ClientSession

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Queue, Store
    from kombu_pool.model import DeadLetter, NewMessage, Project
    from kombu_pool.storage import DataDriver

LENT_TOO_OFTEN = "max_claim_count"
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Aside:
    """A message that a claim of ours holds and that is to be dead-lettered: with an error, for it cannot be read."""

    stored: dict[str, Any]
    count: int
    error: CorruptRecord | None


@dataclass(frozen=True)
class Letter:
    """What becomes of it in the queue ``target``; ``ttl`` 0 is for ever."""

    stored: dict[str, Any]
    target: str
    record: bytes
    header: DeadLetter
    ttl: float
    expires: float

    @property
    def message(self) -> bytes:
        """The id of the message that it was."""
        found: bytes = self.stored["_id"]
        return found


class DeadLetters:
    """Delivers dead letters."""

    def __init__(self, store: Store, driver: DataDriver) -> None:
        self._store = store
        self._driver = driver
        self._queues = QueueController(store)

    def put_aside(self, queue: Queue, claim: str, messages: Sequence[Aside], now: float) -> list[bytes]:
        """Dead-letter messages that the claim holds; return those that nobody takes, which are free again.

        What cannot be read is taken in any case: by :data:`UNREADABLE_QUEUE` in the end.
        """
        unwanted = []
        for aside in messages:
            letter = _letter(queue, aside, now)
            if self._deliver(queue, claim, letter):
                continue
            if letter.header["reason"] == UNREADABLE:
                self._queues.create(UNREADABLE_QUEUE, {}, queue.project)
                self._bury(queue, claim, replace(letter, target=UNREADABLE_QUEUE))
            else:
                self._store.messages.update_one(self._held(queue, claim, letter), states.RELEASED)
                unwanted.append(letter.message)
        return unwanted

    def _deliver(self, queue: Queue, claim: str, letter: Letter) -> bool:
        if self._bury(queue, claim, letter):
            return True
        if not self._forward(letter, queue.project):
            return False
        self._store.messages.delete_one(self._held(queue, claim, letter))
        return True

    def _held(self, queue: Queue, claim: str, letter: Letter) -> Filter:
        return {**queue.scope, "_id": letter.message, "s": layout.WAITING, "c": claim}

    def _bury(self, queue: Queue, claim: str, letter: Letter) -> bool:
        """Move the message to its queue in this store; return False when that is not here."""
        target = self._store.queue(queue.project, letter.target)
        if target is None:
            return False
        ids = self._store.link.numbers.take(self._store.now(), [priority_of(letter.message)])
        document, held = _document(target, ids[0], letter), self._held(queue, claim, letter)

        def move(session: ClientSession | None) -> None:
            if self._store.messages.find_one(held, {"_id": 1}, session=session) is not None:
                # Stored there before it is removed here, for there may be no transaction.
                self._store.messages.insert_one(document, session=session)
                self._store.messages.delete_one(held, session=session)

        if self._store.link.has_transactions:
            self._store.link.transact(move)
        else:
            move(None)
        return True

    def _forward(self, letter: Letter, project: Project) -> bool:
        """Hand a letter to another store; return whether it is there now."""
        forward = self._driver.forward_dead_letter
        if forward is None:
            return False
        try:
            return forward(project, letter.target, _posted(letter))
        except KombuPoolError:
            # The queue it should go to is out of reach: that must not keep this queue's messages from being lent.
            return False


def _letter(queue: Queue, aside: Aside, now: float) -> Letter:
    policy, stored, error = queue.policy, aside.stored, aside.error
    try:
        records.decode(stored["b"])
    except CorruptRecord as corrupt:
        error = error or corrupt
    target, reason, record = policy.dead_letter_queue, LENT_TOO_OFTEN, stored["b"]
    if error is not None or target is None:
        target, reason = target or UNREADABLE_QUEUE, UNREADABLE
        record = write({"record": record, "error": str(error)})
    header: DeadLetter = {"queue": queue.name, "reason": reason, "time": now, "count": aside.count}
    ttl = policy.dead_letter_ttl
    return Letter(stored, target, record, header, ttl or stored["l"], now + ttl if ttl else stored["x"])


def _document(target: Queue, message: bytes, letter: Letter) -> dict[str, Any]:
    longest = target.policy.ttl
    ttl, expires = letter.ttl, letter.expires
    if longest and expires > letter.header["time"] + longest:
        ttl, expires = longest, letter.header["time"] + longest
    document: dict[str, Any] = {
        "_id": message,
        **target.scope,
        "s": IN_LINE,
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
    return document


def _posted(letter: Letter) -> NewMessage:
    return {
        "ttl": None if letter.expires == NEVER else letter.expires - letter.header["time"],
        "body": msgspec.msgpack.decode(letter.record),
        "delay": 0,
        "priority": priority_of(letter.message),
        "dead_letter": letter.header,
    }
