"""The records that cross a boundary between layers.

Times are in seconds; points in time count from the Unix epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypedDict

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import NotRequired

    from kombu_pool.errors import KombuPoolError
    from kombu_pool.moves import Move

Project: TypeAlias = "str | None"
Metadata: TypeAlias = "dict[str, Any]"


class Capabilities(IntEnum):
    """The capabilities of a store; a flavor may require some of them."""

    FIFO = 1
    CLAIMS = 2
    DURABILITY = 3
    AOD = 4
    HIGH_THROUGHPUT = 5


class NewMessage(TypedDict):
    """A message to post.

    ``ttl``: seconds until it expires; None or 0: never. ``body``: JSON values, bytes, ``datetime``, ``date``,
    ``Decimal``, ``UUID``, or a mix; ``{}`` when absent. ``delay``: seconds before it can be claimed. ``priority``: 0 to
    255, higher first. ``key``: a text of at most 255 bytes by which the message is found; it need not be unique.
    ``unique``: it is stored only if its queue has no such message.
    ``dead_letter``: the header of a dead letter from another store. ``transient``: a loss of the server may lose it, so
    that its post need not wait for replicas. ``record``: what ``codec.encode`` returned for the body; without it the
    store encodes the body itself.
    """

    ttl: float | None
    body: NotRequired[Any]
    delay: NotRequired[float]
    priority: NotRequired[int]
    key: NotRequired[str | None]
    unique: NotRequired[Uniqueness | None]
    dead_letter: NotRequired[DeadLetter]
    transient: NotRequired[bool]
    record: NotRequired[bytes]


#: Scopes of a unique message besides a number of seconds.
WAITING, UNFINISHED = "waiting", "unfinished"
#: What becomes of a message whose id another one holds.
DROP, REPLACE, EXTEND = "drop", "replace", "extend"


class Uniqueness(NamedTuple):
    """The id that a message holds in its queue, for how long, and what becomes of it if another one holds it.

    ``id``: a text of at most 255 bytes. ``scope``: ``waiting``, while the message is free or delayed; ``unfinished``,
    while it is claimed, too; or that many seconds from its post, whatever becomes of it. ``conflict``: it is dropped
    (``drop``); it replaces a message that waits (``replace``); or it is dropped, and a message that waits is due when
    it would have been due itself, if that is later (``extend``). One that is claimed, or gone, is never replaced. But a
    message with its key, as the retry of a task has, is stored and holds the id in its place.

    Of the messages of one post with an id the first counts, or the last that replaces; none of them extends another.
    """

    id: str
    scope: str | float
    conflict: str = DROP


class PresentId(str):
    """The id of the message that holds the id of a unique message, which was dropped; ``key`` is its key."""

    __slots__ = ("key",)
    key: str | None

    @classmethod
    def of(cls, message_id: str, key: str | None) -> PresentId:
        """Return the id of a message with a key, or without one."""
        present = cls(message_id)
        present.key = key
        return present


class IdempotencyKey(Struct, frozen=True):
    """The key of one post: the unique id of its producer, and a sequence number.

    A producer id has 1 to 64 bytes. A producer makes one post at a time, each with a greater sequence number than the
    last; sequence numbers are integers from 1 to 2**53.
    """

    producer: bytes
    sequence: int


class DeadLetter(TypedDict):
    """The header of a dead letter: its origin, the reason, the time of the move, and its claims in the origin."""

    queue: str
    reason: str
    time: float
    count: int


@dataclass
class RedriveResult:
    """The result of a redrive.

    ``moved`` and ``remaining`` count dead letters by target queue; ``refusals`` holds the last error of a target that
    did not accept one. ``duplicated`` of those moved are still in the dead-letter queue, too: their claim ended before
    the deletion. ``seen`` of ``total`` messages were examined.
    """

    moved: dict[str, int] = field(default_factory=dict)
    remaining: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, KombuPoolError] = field(default_factory=dict)
    duplicated: int = 0
    seen: int = 0
    total: int = 0


#: Age in seconds from which a message has none but whole seconds.
MAX_EXACT_AGE = 2.0


class Age(int):
    """A number of whole seconds; ``exact`` has their fraction, too."""

    exact: float

    @classmethod
    def of(cls, seconds: float) -> Age:
        """Return an age in seconds."""
        age = cls(seconds)
        age.exact = seconds
        return age


class Message(TypedDict):
    """A stored message.

    ``age``: whole seconds since its post; an :class:`Age` if that is below ``MAX_EXACT_AGE`` and the message expires.
    ``ttl``: 0 when it never expires.
    ``claim_id``: the last claim, even an ended one; None when it was never claimed or was released. ``claim_count``:
    the number of its claims. ``priority`` is present when it is not 0, ``key`` when the message has one,
    ``dead_letter`` when it is a dead letter.
    """

    id: str
    age: int
    ttl: float
    body: Any
    claim_id: str | None
    claim_count: int
    checksum: NotRequired[str]
    priority: NotRequired[int]
    key: NotRequired[str]
    dead_letter: NotRequired[DeadLetter]


class QueueCounts(NamedTuple):
    """The messages of a queue by state, and the seconds since the post of the oldest free one; None without one.

    ``is_exact``: False if a count stopped at its limit, and may be more. ``paused``: no consumer may claim from it.
    """

    free: int
    delayed: int
    claimed: int
    oldest_age: float | None
    is_exact: bool
    paused: bool = False


class FoundMessage(Message):
    """A message that was found by its key.

    ``state``: "free", "delayed" or "claimed". ``due``: the end of its delay, None if it is not delayed or the store
    cannot tell. ``body`` is None if its record cannot be decoded.
    """

    queue: str
    state: str
    due: float | None


@dataclass
class KeyResult:
    """The result of a verb on the messages of a key.

    ``messages``: those that were found, cancelled or changed. ``claimed``: those that were left alone as a claim holds
    them; a search leaves none alone. ``dead_letters``: those that were not cancelled as they are dead letters.
    ``unreachable``: the pools that did not answer, each with its error.
    """

    messages: list[FoundMessage] = field(default_factory=list)
    claimed: list[FoundMessage] = field(default_factory=list)
    dead_letters: list[FoundMessage] = field(default_factory=list)
    unreachable: dict[str, KombuPoolError] = field(default_factory=dict)

    def add(self, other: KeyResult) -> None:
        """Add the messages and the errors of another result."""
        self.messages += other.messages
        self.claimed += other.claimed
        self.dead_letters += other.dead_letters
        self.unreachable |= other.unreachable


class ClaimMetadata(TypedDict):
    """The duration of a claim, and the least time for which its messages outlive it, both in seconds.

    Numbers from 0 to 10**10. ``holder`` names the process that holds the claim: any text. Renewal keeps the holder that
    a claim was made with.
    """

    ttl: float
    grace: float
    holder: NotRequired[str]


class Claim(TypedDict):
    """A live claim; ``age`` counts from its creation or its last renewal."""

    id: str
    age: int
    ttl: float


class Pool(TypedDict):
    """A message store and its share of new queues; ``options`` is present in detailed results."""

    name: str
    uri: str
    weight: int
    flavor: str | None
    options: NotRequired[dict[str, Any]]


#: Required capabilities: their names, or names with whether each is required.
RequiredCapabilities: TypeAlias = "Mapping[str, bool] | Iterable[str]"


class Flavor(TypedDict):
    """A kind of queue; ``capabilities`` (names of :class:`Capabilities`, as given) is present in detailed results."""

    name: str
    capabilities: NotRequired[dict[str, bool] | list[str]]


class CatalogueEntry(TypedDict):
    """The assignment of a queue to a pool."""

    queue: str
    project: Project
    pool: str


class Assignment(NamedTuple):
    """One life of a queue: its assignment to a pool, and what has come of it.

    ``incarnation`` names this life; no other assignment of any queue ever has the same, also after the control store
    lost its data. ``state`` is one of the constants below.
    """

    pool: str
    incarnation: str
    state: str
    #: The queue's move to another pool; None if there is none.
    move: Move | None = None

    @property
    def pools(self) -> frozenset[str]:
        """The pools that may hold messages of the queue, and so cannot be removed."""
        return frozenset((self.pool, *(() if self.move is None else self.move.pools)))


#: The queue is assigned, and no process creates it.
RESERVED = "reserved"
#: A process is about to create the queue in its pool, or died before it had.
CREATING = "creating"
#: The queue exists in its pool.
ACTIVE = "active"
#: The queue is sealed in its pool, and no other pool has opened it yet: it is about to move.
MOVING = "moving"
#: The queue is deleted, and its pool may hold it still.
DELETING = "deleting"
#: The queue has expired, and no process has begun to delete it. Never stored: time alone leads here.
EXPIRED = "expired"


#: What a queue bears that was created in its store without an incarnation.
NO_INCARNATION = ""


class Expiry(NamedTuple):
    """When a queue expires: ``after`` seconds without a live holder.

    They count from the last holder's end, or with ``from_now`` from the creation of the queue. ``holder`` is the id of
    a first holder that does not consume, live for ``holder_ttl`` seconds.
    """

    after: float
    from_now: bool = False
    holder: str | None = None
    holder_ttl: float = 0.0


class Exchange(TypedDict):
    """An exchange; ``generation`` grows with every change to it or to its bindings, and never repeats."""

    name: str
    type: str
    durable: bool
    auto_delete: bool
    arguments: dict[str, Any]
    generation: int


class Binding(TypedDict):
    """A binding of an exchange to a ``destination`` of ``destination_type`` "queue" or "exchange"."""

    exchange: str
    destination: str
    destination_type: str
    routing_key: str
    arguments: dict[str, Any]


class Subscription(TypedDict):
    """A subscription of one subscriber to a queue's messages."""

    id: str
    source: str
    subscriber: str
    ttl: float
    age: int
    options: dict[str, Any]
    confirmed: bool
