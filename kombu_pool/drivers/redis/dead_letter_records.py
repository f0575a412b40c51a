"""The record, the header and the ttl that a message gets as a dead letter."""

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
    from kombu_pool.model import DeadLetter as Header
    from kombu_pool.model import NewMessage, Project
    from kombu_pool.storage.policy import Policy


class Source(NamedTuple):
    """The queue that dead letters leave, the claim that holds them, or b"" for dead messages, and the time."""

    queue: str
    project: Project
    keys: KeySets
    policy: Policy
    claim: bytes
    now: float


def source_of(store: Store, queue: str, project: Project, metadata: bytes, claim: bytes, now: float) -> Source:
    """Return the source of dead letters."""
    return Source(queue, project, store.keys(project, queue), policy_of(metadata), claim, now)


class Candidate(NamedTuple):
    """A message to dead-letter; ``id`` is its id, after the number of its death if it is dead.

    ``error`` is set if the message is unreadable.
    """

    id: bytes
    stored: bytes
    claim_count: int
    expires: float | None
    reason: str = DeadLetterReason.DELIVERY_LIMIT
    error: CorruptRecord | None = None


def parse_dead(dead_id: bytes, stored: bytes) -> Candidate:
    """Return a dead message from what the scripts store of it."""
    reason, count, expires, record = stored.split(b":", 3)
    return Candidate(dead_id, record, int(count), float(expires) if expires else None, reason.decode())


class DeadLetter(NamedTuple):
    """A message as it is stored in the queue ``target`` (None: published to an exchange); ``ttl`` 0 is for ever."""

    id: bytes
    target: str | None
    created: float
    client: str | None
    body: bytes
    header: Header
    ttl: float
    expires: float | None

    @property
    def is_unreadable(self) -> bool:
        """Return whether its reason is that it is unreadable."""
        return self.header["reason"] == DeadLetterReason.UNREADABLE

    @property
    def priority(self) -> int:
        """Its priority, which it keeps."""
        return 255 - self.id[-codec.ID_BYTES]

    def move_arguments(self) -> tuple[Any, ...]:
        """Return the arguments of the script that moves it."""
        rest = codec.pack(self.ttl, self.client, self.header, self.body)
        return self.id, struct.pack(">d", self.created) + rest, "" if self.expires is None else self.expires

    def post_arguments(self) -> tuple[Any, ...]:
        """Return the arguments of the scripts that post it."""
        ttl = 0 if self.expires is None else max(0.001, self.expires - self.header["time"])
        return f"{self.priority}:{ttl!r}:0", codec.pack(self.ttl, self.client, self.header, self.body)

    def to_new_message(self) -> NewMessage:
        """Return it as another store or an exchange takes it."""
        return {
            "ttl": None if self.expires is None else self.expires - self.header["time"],
            "body": msgspec.msgpack.decode(self.body),
            "delay": 0,
            "priority": self.priority,
            "dead_letter": self.header,
        }


def to_dead_letter(source: Source, candidate: Candidate) -> DeadLetter:
    """Return the dead letter of a message; its reason is ``unreadable`` whenever it cannot be read."""
    error = candidate.error
    try:
        record = codec.unpack(candidate.stored)
        decode(record.body)
    except CorruptRecord as corrupt:
        error = error or corrupt
        record = _salvage(candidate.stored, source.now)
    target, reason, body = source.policy.dead_letter_queue, candidate.reason, record.body
    if error is not None:
        target, reason = target or UNREADABLE_QUEUE, DeadLetterReason.UNREADABLE
        body = write({"record": body, "error": str(error)})
    header: Header = {
        "queue": codec.escape_surrogates(source.queue),
        "reason": reason,
        "time": source.now,
        "count": candidate.claim_count,
    }
    ttl, expires = _lifetime(source, record.ttl, candidate.expires)
    return DeadLetter(candidate.id, target, record.created, record.client, body, header, ttl, expires)


def _lifetime(source: Source, ttl: float, expires: float | None) -> tuple[float, float | None]:
    if source.policy.dead_letter_ttl:
        return source.policy.dead_letter_ttl, source.now + source.policy.dead_letter_ttl
    if expires is not None and expires <= source.now:
        return 0, None
    return ttl, expires


def _salvage(stored: bytes, now: float) -> codec.Record:
    """Return what is readable of a record whose body is not."""
    try:
        return codec.unpack(stored)
    except CorruptRecord:
        return codec.Record(now, 0, None, None, stored)
