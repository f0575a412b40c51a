"""Dead letters: what becomes of a dead message where it is buried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.drivers.mongodb.layout import BACK, NEVER, priority_of
from kombu_pool.errors import CorruptRecord
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.policy import write

if TYPE_CHECKING:
    from kombu_pool.drivers.mongodb.store import Queue
    from kombu_pool.model import DeadLetter, NewMessage


@dataclass(frozen=True)
class Letter:
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


def letter_of(queue: Queue, stored: dict[str, Any], now: float) -> Letter:
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
    return Letter(stored, target, record, header, ttl, expires)


def document_of(letter: Letter, target: Queue, message: bytes) -> dict[str, Any]:
    """Return the document of a letter in a queue of this store, under that id."""
    longest = target.policy.ttl
    ttl, expires = letter.ttl, letter.expires
    if longest and expires > letter.header["time"] + longest:
        ttl, expires = longest, letter.header["time"] + longest
    document: dict[str, Any] = {
        "_id": message,
        **target.scope,
        # Its id may have been given long ago.
        "s": BACK,
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
    if target.is_mortal(expires):
        document["e"] = True
    return document


def posted(letter: Letter) -> NewMessage:
    """Return a letter for another store, or for an exchange."""
    return {
        "ttl": None if letter.expires == NEVER else letter.expires - letter.header["time"],
        "body": codec.decode(letter.record),
        "delay": 0,
        "priority": letter.priority,
        "dead_letter": letter.header,
    }
