"""The records that cross a boundary between layers.

Times are seconds: durations as they are, moments since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypedDict

if TYPE_CHECKING:
    from kombu_pool.errors import KombuPoolError

Project: TypeAlias = "str | None"
Metadata: TypeAlias = "dict[str, Any]"


class Capabilities(IntEnum):
    """What a store can promise; a flavor may ask for some of them."""

    FIFO = 1
    CLAIMS = 2
    DURABILITY = 3
    AOD = 4
    HIGH_THROUGHPUT = 5


class _NewMessageOptions(TypedDict, total=False):
    body: Any
    delay: float
    priority: int
    dead_letter: DeadLetter


class NewMessage(_NewMessageOptions):
    """A message to post.

    ``ttl``: seconds until it expires, None or 0 for never. ``body``: what JSON can hold, bytes, or a mix; ``{}`` when
    absent. ``delay``: seconds for which nobody may claim it. ``priority``: 0 to 255, higher first.
    ``dead_letter``: where a dead letter of another store came from.
    """

    ttl: float | None


class IdempotencyKey(NamedTuple):
    """Names one post: the ``sequence``-th of ``producer``, an id that no other producer has.

    A producer id has 1 to 64 bytes. A producer makes one post at a time, each with a greater sequence number than the
    one before; sequence numbers are whole, from 1 to 2**53.
    """

    producer: bytes
    sequence: int


class DeadLetter(TypedDict):
    """Where a dead-lettered message came from: ``time`` is when it moved, ``count`` how often it had been lent."""

    queue: str
    reason: str
    time: float
    count: int


@dataclass
class RedriveResult:
    """What giving dead letters back came to.

    ``moved`` and ``remaining`` count letters by the queue that they were for; ``refusals`` says why that queue did not take
    what was left, the last reason if there were several. ``duplicated`` of those moved are in the dead-letter queue, too,
    for the claim on them ended too early. ``seen`` of ``total`` messages were looked at.
    """

    moved: dict[str, int] = field(default_factory=dict)
    remaining: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, KombuPoolError] = field(default_factory=dict)
    duplicated: int = 0
    seen: int = 0
    total: int = 0


class _MessageOptions(TypedDict, total=False):
    checksum: str
    priority: int
    dead_letter: DeadLetter


class Message(_MessageOptions):
    """A stored message.

    ``age`` is whole seconds since it was posted; ``ttl`` is 0 when it never expires; ``claim_id`` names the last claim,
    even an ended one, and is None when it was never claimed or was released; ``claim_count`` counts its lendings.
    ``priority`` is there when it is not 0, ``dead_letter`` when it was moved here for a reason.
    """

    id: str
    age: int
    ttl: float
    body: Any
    claim_id: str | None
    claim_count: int


class ClaimMetadata(TypedDict):
    """How long a claim is to live, and how long its messages outlive it at least; both in seconds."""

    ttl: float
    grace: float


class Claim(TypedDict):
    """A live claim; ``age`` counts from its creation or its last renewal."""

    id: str
    age: int
    ttl: float


class _PoolOptions(TypedDict, total=False):
    options: dict[str, Any]


class Pool(_PoolOptions):
    """A message store and its share of new queues; ``options`` is there in detailed answers."""

    name: str
    uri: str
    weight: int
    flavor: str | None


class _FlavorOptions(TypedDict, total=False):
    capabilities: list[str]


class Flavor(_FlavorOptions):
    """A kind of queue; ``capabilities`` (names of :class:`Capabilities`) is there in detailed answers."""

    name: str


class CatalogueEntry(TypedDict):
    """Which pool serves a queue."""

    queue: str
    project: Project
    pool: str


class Exchange(TypedDict):
    """An exchange; ``generation`` grows with every change to it or to its bindings, and is never used twice."""

    name: str
    type: str
    durable: bool
    auto_delete: bool
    arguments: dict[str, Any]
    generation: int


class Binding(TypedDict):
    """A way from an exchange to a ``destination`` of ``destination_type`` "queue" or "exchange"."""

    exchange: str
    destination: str
    destination_type: str
    routing_key: str
    arguments: dict[str, Any]


class Subscription(TypedDict):
    """Somebody who wants to be told of a queue's messages."""

    id: str
    source: str
    subscriber: str
    ttl: float
    age: int
    options: dict[str, Any]
    confirmed: bool
