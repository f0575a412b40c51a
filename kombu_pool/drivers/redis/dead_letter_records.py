"""What becomes of a message that is dead-lettered: the record and the header that it has then, and its ttl."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from kombu_pool.codec import decode
from kombu_pool.drivers.redis import codec
from kombu_pool.errors import CorruptRecord
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.policy import policy_of, write

if TYPE_CHECKING:
    from kombu_pool.drivers.redis.keys import KeySets
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import DeadLetter, NewMessage, Project
    from kombu_pool.storage.policy import Policy


class Source(NamedTuple):
    """The queue that letters leave, the claim that holds them, or none for dead ones, and the time."""

    queue: str
    project: Project
    keys: KeySets
    policy: Policy
    claim: bytes
    now: float


def source(store: Store, queue: str, project: Project, metadata: bytes, claim: bytes, now: float) -> Source:
    """Return where letters come from."""
    return Source(queue, project, store.keys(project, queue), policy_of(metadata), claim, now)


class Aside(NamedTuple):
    """A message that is to be dead-lettered; ``message`` is its id, behind the number of its death if it is dead.

    With an error: it cannot be read.
    """

    message: bytes
    stored: bytes
    lent: int
    expires: float | None
    reason: str = DeadLetterReason.DELIVERY_LIMIT
    error: CorruptRecord | None = None


def dead(message: bytes, kept: bytes) -> Aside:
    """Return a dead message, as the scripts keep it."""
    reason, count, expires, stored = kept.split(b":", 3)
    return Aside(message, stored, int(count), float(expires) if expires else None, reason.decode())


class Letter(NamedTuple):
    """What is stored of it in the queue ``target`` (None: published to an exchange); ``ttl`` 0 is for ever."""

    message: bytes
    target: str | None
    created: float
    client: str | None
    record: bytes
    header: DeadLetter
    ttl: float
    expires: float | None

    @property
    def is_unreadable(self) -> bool:
        """Tell whether it is one because it cannot be read."""
        return self.header["reason"] == DeadLetterReason.UNREADABLE

    @property
    def priority(self) -> int:
        """Its priority, here and there."""
        return 255 - self.message[-codec.ID_BYTES]

    def moved(self) -> tuple[Any, ...]:
        """Return what the script is told that moves it."""
        rest = codec.pack(self.ttl, self.client, self.header, self.record)
        return self.message, struct.pack(">d", self.created) + rest, "" if self.expires is None else self.expires

    def posted(self) -> tuple[Any, ...]:
        """Return what the scripts are told that post it."""
        left = 0 if self.expires is None else max(0.001, self.expires - self.header["time"])
        rest = codec.pack(self.ttl, self.client, self.header, self.record)
        return f"{self.priority}:{left!r}:0", rest

    def handed_over(self) -> NewMessage:
        """Return it as another store, or an exchange, is given it."""
        return {
            "ttl": None if self.expires is None else self.expires - self.header["time"],
            "body": msgspec.msgpack.decode(self.record),
            "delay": 0,
            "priority": self.priority,
            "dead_letter": self.header,
        }


def letter(of: Source, aside: Aside) -> Letter:
    """Return the letter of a message, which is unreadable if it cannot be read, whatever the reason."""
    error = aside.error
    try:
        stored = codec.unpack(aside.stored)
        decode(stored.record)
    except CorruptRecord as corrupt:
        error = error or corrupt
        stored = _salvaged(aside.stored, of.now)
    target, reason, record = of.policy.dead_letter_queue, aside.reason, stored.record
    if error is not None:
        target, reason = target or UNREADABLE_QUEUE, DeadLetterReason.UNREADABLE
        record = write({"record": record, "error": str(error)})
    header: DeadLetter = {
        "queue": codec.storable(of.queue),
        "reason": reason,
        "time": of.now,
        "count": aside.lent,
    }
    ttl, expires = _lifetime(of, stored.ttl, aside.expires)
    return Letter(aside.message, target, stored.created, stored.client, record, header, ttl, expires)


def _lifetime(of: Source, ttl: float, expires: float | None) -> tuple[float, float | None]:
    if of.policy.dead_letter_ttl:
        return of.policy.dead_letter_ttl, of.now + of.policy.dead_letter_ttl
    if expires is not None and expires <= of.now:
        return 0, None
    return ttl, expires


def _salvaged(stored: bytes, now: float) -> codec.Stored:
    """Return what can be told of a record that cannot be decoded."""
    try:
        return codec.unpack(stored)
    except CorruptRecord:
        return codec.Stored(now, 0, None, None, stored)
