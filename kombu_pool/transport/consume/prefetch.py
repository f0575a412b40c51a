"""The prefetch window of a channel: how many messages its consumers may hold, all together; and those consumers."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.model import Message as StoredMessage
    from kombu_pool.transport.consume.leases import Lease
    from kombu_pool.transport.consume.single_active import SingleActiveConsumer


#: From this limit on, a quarter of the slots hides the latency of a claim.
_LARGE_WINDOW = 8


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
    #: Monotonic time since which they consume.
    since: float = field(default_factory=time.monotonic)
    #: Those that are not cancelled; the list is replaced, never changed.
    consumers: list[Consumer] = field(default_factory=list)
    # Each is written by one thread only: the fetcher's, and the one that delivers.
    claimed: int = 0
    delivered: int = 0
    #: The number of their last successful claim among all claims of the process.
    last_served: int = 0
    #: Monotonic time until which the queue, which was found empty, is not claimed from.
    empty_until: float = 0.0
    #: Held by the thread that claims for them.
    claiming: threading.Lock = field(default_factory=threading.Lock)
    _next: int = 0

    @property
    def ready(self) -> int:
        """Return how many claimed messages wait for delivery."""
        return self.claimed - self.delivered

    @property
    def is_over(self) -> bool:
        """Return whether the broker has cancelled all of them: there is nothing to claim from."""
        return all(consumer.is_cancelled for consumer in self.consumers)

    def next_consumer(self) -> Consumer | None:
        """Return the consumer of the next message; None when all are cancelled."""
        consumers = self.consumers
        if not consumers:
            return None
        if self.single_active is not None:
            return consumers[0]
        self._next = (self._next + 1) % len(consumers)
        return consumers[self._next]


class PrefetchWindow:
    """The slots of a channel, and what Kombu and Celery find as ``channel.qos``.

    A message holds a slot from its claim until the store knows that it is settled. So what a killed consumer gives back
    never exceeds the limit, however many acknowledgements were unsent.
    """

    #: How long slots stay reserved for a claim in progress, in seconds: a pool that hangs must not keep them.
    RESERVATION_TTL = 0.5
    #: How long yielded slots stay reserved until the other consumers' claim begins, in seconds; also the pause before
    #: consumers that found all slots reserved ask again.
    YIELD_TTL = 0.1

    def __init__(self, read_ahead: int, wake: Callable[[set[QueueConsumers]], None]) -> None:
        self.prefetch_count = 0
        self.leases: set[Lease] = set()
        self.paused = False
        #: Whether the last claim filled the window and no slot is free since.
        self.is_full = False
        #: Monotonic time when a slot of the full window became free.
        self.opened_at = -math.inf
        #: Consumers that wait for a slot, in any pool; a slot that becomes free empties the set and wakes them.
        self.waiting: set[QueueConsumers] = set()
        #: Consumers whose last request got no slot, or that yielded theirs; woken or not, they have not claimed since.
        self._unserved: set[QueueConsumers] = set()
        self._acked = 0
        self._freed_by_ack = 0
        #: The slots reserved for claims in progress, each with the monotonic end of the reservation.
        self._reserved: dict[QueueConsumers, tuple[int, float]] = {}
        self._lock = threading.Lock()
        self._refused = False
        self._read_ahead = read_ahead
        self._wake = wake

    def outstanding(self) -> int:
        """Return how many messages are claimed and not settled."""
        return sum(lease.unsettled for lease in list(self.leases))

    def check_full(self) -> None:
        """Take note of whether a claim has just filled the window."""
        if self.prefetch_count and self._held() >= self.prefetch_count:
            self.is_full = True
            if self._held() < self.prefetch_count:  # another thread acknowledged in between
                self.reopen()

    def reopen(self) -> None:
        """Take note that the window, if it was full, has a free slot from now on."""
        if self.is_full:
            self.opened_at = time.monotonic()
            self.is_full = False

    def _held(self) -> int:
        """Return how many messages are claimed and not settled by their consumers, whatever the store knows."""
        return sum(lease.unsettled - lease.in_flight - len(lease.acked) for lease in list(self.leases))

    def can_consume(self) -> bool:
        """Return whether another message may be delivered. Celery replaces this method to stop prefetching."""
        return not self.prefetch_count or self.outstanding() - self._freed_by_ack < self.prefetch_count

    def claimable(self, user: QueueConsumers, *, linger: bool, freed_by_ack: int = 0) -> int:
        """Return how many messages to claim now; ``freed_by_ack`` slots become free with that very claim.

        A claim of one message costs as much as a claim of many. With ``linger``, a channel that still has work and few
        free slots therefore claims nothing yet.
        """
        # Set before looking: a slot that becomes free in between is not missed.
        self._acked, self._freed_by_ack = 0, freed_by_ack
        self.waiting.add(user)
        slots = 0 if self.paused or not self.can_consume() else self._free(user, linger=linger)
        self._freed_by_ack = 0
        if slots > 0:
            self.waiting.discard(user)
            self._unserved.discard(user)
        else:
            self._unserved.add(user)
        return slots

    def _free(self, user: QueueConsumers, *, linger: bool) -> int:
        if self._is_unlimited(user):
            missing = self._read_ahead - user.ready
            return missing if missing * 2 >= self._read_ahead else 0
        outstanding = self.outstanding() - self._freed_by_ack
        free = self.prefetch_count - outstanding
        if linger and outstanding and not self._is_worth_a_claim(free):
            # These slots count towards the number that ends the wait.
            self._acked += free
            return 0
        return min(free, self._read_ahead)

    def is_behind(self, user: QueueConsumers, slots: int, freed_by_ack: int = 0) -> bool:
        """Return whether consumers that were served earlier wait for these slots; ``user`` then yields.

        A store does not tell what other queues hold. Without this order, the consumers that claim again with each
        acknowledgement would keep all slots until their queue is empty.
        """
        if self._is_unlimited(user) or not self._unserved:
            return False
        with self._lock:
            return self._unreserved(user, slots, freed_by_ack) > 0 and self._served_earlier(user) is not None

    def yield_slots(self, user: QueueConsumers) -> None:
        """Reserve all free slots for the consumers that were served earliest, for YIELD_TTL, and wake them."""
        with self._lock:
            self.waiting.add(user)
            self._unserved.add(user)
            self._reserved.pop(user, None)
            first = self._served_earlier(user)
            if first is not None:
                free = self._unreserved(first, self.prefetch_count)
                self._reserved[first] = max(0, free), time.monotonic() + self.YIELD_TTL
            self._refused = True
        self.wake_waiting(but=user)

    def _served_earlier(self, user: QueueConsumers) -> QueueConsumers | None:
        """Return the waiting consumers that were served earliest, and before ``user``, and may have messages.

        Consumers that let a reservation expire are passed over until they ask again.
        """
        now = time.monotonic()
        for other, (_, until) in list(self._reserved.items()):
            if other in self._unserved and until <= now:
                del self._reserved[other]
                self._unserved.discard(other)
        earlier = [
            other
            for other in list(self._unserved)
            if other.last_served < user.last_served
            and now >= other.empty_until
            and other.consumers
            and not other.no_ack
        ]
        return min(earlier, key=lambda other: other.last_served, default=None)

    def reserve(self, user: QueueConsumers, slots: int, freed_by_ack: int = 0) -> int:
        """Reserve up to so many slots for a claim, and return how many; :meth:`unreserve` ends the reservation."""
        if slots <= 0 or self._is_unlimited(user):
            return slots
        with self._lock:
            # Set before looking, as in claimable().
            self.waiting.add(user)
            slots = self._unreserved(user, slots, freed_by_ack)
            if slots > 0:
                self.waiting.discard(user)
                self._reserved[user] = slots, time.monotonic() + self.RESERVATION_TTL
            else:
                self._unserved.add(user)
                self._refused = True
        return slots

    def _unreserved(self, user: QueueConsumers, slots: int, freed_by_ack: int = 0) -> int:
        """Return how many of so many slots are reserved for no other consumers."""
        now, reserved = time.monotonic(), self._reserved.items()
        others = sum(count for other, (count, until) in reserved if other is not user and now < until)
        return min(slots, self.prefetch_count - self.outstanding() + freed_by_ack - others)

    def unreserve(self, user: QueueConsumers) -> None:
        """End the reservation of a claim that is over: the slots that it did not use are free."""
        with self._lock:
            self._reserved.pop(user, None)
            refused, self._refused = self._refused, False
        if refused:
            self.wake_waiting()

    def _is_unlimited(self, user: QueueConsumers) -> bool:
        return user.no_ack or not self.prefetch_count

    def should_linger(self) -> bool:
        """Return whether slots are free that a claim with ``linger`` leaves unused."""
        return bool(self.prefetch_count) and self.can_consume()

    def delivered(self, user: QueueConsumers) -> None:
        """Wake the waiting consumers once half of the messages read ahead is delivered."""
        if self._is_unlimited(user) and user.ready * 2 <= self._read_ahead:
            self.wake_waiting()

    def acknowledged(self) -> None:
        """Count an acknowledgement, and wake the waiting consumers once the free slots are worth a claim."""
        self._acked += 1
        if self._is_worth_a_claim(self._acked):
            self.wake_waiting()

    def _is_worth_a_claim(self, slots: int) -> bool:
        """Return whether so many slots are: half of the window, or three quarters of a large one."""
        return slots * 4 >= self.prefetch_count * (3 if self.prefetch_count >= _LARGE_WINDOW else 2)

    def settled(self, lease: Lease) -> None:
        """Free the slots of a lease's messages that the store knows to be settled."""
        if lease.unsettled <= 0:
            self.leases.discard(lease)
        if self.is_full:
            self.reopen()
        if self.waiting:
            self.wake_waiting()

    def wake_waiting(self, but: QueueConsumers | None = None) -> None:
        """Wake the waiting consumers except ``but``, which yielded its slots to them."""
        waiting = self.waiting - {but}
        # Consumers that begin to wait after this line stay in the set.
        self.waiting.difference_update(waiting)
        self._wake(waiting)

    def forget(self, user: QueueConsumers) -> None:
        """Drop all state of consumers that are cancelled."""
        self.waiting.discard(user)
        self._unserved.discard(user)
        self.unreserve(user)
