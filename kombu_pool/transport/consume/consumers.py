"""The consumers of a channel, those of one queue, which one claim serves, and the place that they consume from."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu_pool.errors import ConnectionError as StoreFailure
    from kombu_pool.model import Message as StoredMessage
    from kombu_pool.transport.consume.leases import Lease
    from kombu_pool.transport.consume.prefetch import PrefetchWindow
    from kombu_pool.transport.consume.single_active import SingleActiveConsumer


@dataclass(slots=True, eq=False)
class Consumer:
    """One ``basic.consume`` of a channel."""

    queue: str
    tag: str
    #: The id by which the control store knows it.
    holder: str
    callback: Callable[[Any], Any]
    no_ack: bool
    #: Its channel's method for a consumer that the broker has cancelled.
    on_cancelled: Callable[[Consumer], None]
    #: Called with the tag when the broker cancels the consumer; without it the connection fails.
    on_cancel: Callable[[str], Any] | None = None
    #: Its ``x-priority``.
    priority: int = 0
    #: Whether the broker has cancelled it; its channel tells it.
    is_cancelled: bool = False


@dataclass(eq=False)
class QueueConsumers:
    """The consumers of a queue that one claim serves; messages are delivered to them round robin."""

    queue: str
    no_ack: bool
    #: The prefetch window of their channel.
    window: PrefetchWindow
    #: Their channel's method that hands a message to one of them.
    deliver: Callable[[QueueConsumers, Consumer, Lease, StoredMessage], None]
    #: The life of the queue that they consume.
    incarnation: str
    #: Whether they may claim, on a queue with ``x-single-active-consumer``; None on any other.
    single_active: SingleActiveConsumer | None = None
    #: Whether the queue gives its messages a ttl of 0.
    in_zero_ttl_queue: bool = False
    #: Whether theirs is a control queue, whose messages are handed out before tasks.
    in_control_queue: bool = False
    #: Monotonic time since which they consume.
    since: float = field(default_factory=time.monotonic)
    #: Those that are not cancelled, the highest priority first.
    consumers: list[Consumer] = field(default_factory=list)
    # Each is written by one thread only: the one that claims, and the one that delivers.
    claimed: int = 0
    delivered: int = 0
    #: Held by the thread that claims for them.
    claiming: threading.Lock = field(default_factory=threading.Lock)
    _next: int = 0

    # The scheduler's, under its lock.

    #: The claim that is being made for them.
    grant: Grant | None = None
    #: Monotonic time until which their queue, which was found empty, is not claimed from; in the past while READY.
    empty_until: float = -math.inf
    #: The finish tag of start-time fair queueing (Goyal, Vin, Cheng 1996), with messages as the length of a claim.
    finish_tag: int = 0

    @property
    def ready(self) -> int:
        """Return how many claimed messages wait for delivery."""
        return self.claimed - self.delivered

    @property
    def is_over(self) -> bool:
        """Return whether the broker has cancelled all of them: there is nothing to claim from."""
        return all(consumer.is_cancelled for consumer in self.consumers)

    @property
    def may_claim(self) -> bool:
        """Return whether the broker lets one of them have messages."""
        return not self.is_over and (self.single_active is None or self.single_active.active)

    @property
    def is_unlimited(self) -> bool:
        """Return whether their messages hold no slots of the window."""
        return self.no_ack or not (self.window.prefetch_count or self.window.demand)

    @property
    def priority(self) -> int:
        """Return the highest priority among them."""
        return max((consumer.priority for consumer in self.consumers), default=0)

    def add(self, consumer: Consumer) -> None:
        """Add a consumer; the list is replaced, never changed. The highest priority comes first."""
        self.consumers = sorted([*self.consumers, consumer], key=lambda one: -one.priority)

    def remove(self, consumer: Consumer) -> None:
        """Remove a consumer."""
        self.consumers = [other for other in self.consumers if other is not consumer]

    def next_consumer(self) -> Consumer | None:
        """Return the consumer of the next message: those of the highest priority in turn; None when all are cancelled.

        All share one prefetch window, so one of a lower priority never has a free slot that the others lack.
        """
        consumers = self.consumers
        if not consumers:
            return None
        if self.single_active is not None:
            return consumers[0]
        highest = sum(one.priority == consumers[0].priority for one in consumers)
        self._next = (self._next + 1) % highest
        return consumers[self._next]


@dataclass(eq=False)
class Place:
    """What one thread claims from: a pool, or a part of it that may be unreachable by itself.

    ``pool`` None: its queues have none yet.
    """

    pool: str | None
    #: Has the thread ask again.
    wake: Callable[[], None]
    consumers: tuple[QueueConsumers, ...] = ()
    #: Why the last claim failed.
    failure: StoreFailure | None = None
    #: The empty queues that a watch waits for at this moment.
    watched: frozenset[str] = frozenset()
    #: How many wake-ups came: a claim that began before the last of them does not show that a queue is empty.
    wakeups: int = 0
    #: Monotonic time when it was woken to take slots that are its consumers' turn, and has not asked since.
    called_at: float = math.inf


@dataclass(eq=False, slots=True)
class Grant:
    """Permission to claim up to ``slots`` messages, of which ``freed_by_ack`` become free with that very claim.

    Without slots, the acknowledgements of ``leases`` are to be sent, for whose slots other consumers wait.
    """

    place: Place
    consumers: QueueConsumers
    slots: int
    freed_by_ack: int = 0
    leases: Sequence[Lease] = ()
    #: That of its place when it began.
    wakeups: int = 0
    thread: int = field(default_factory=threading.get_ident)
