"""How many messages a channel may be lent: the free part of its prefetch limit, which all its consumers share."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kombu_pool.transport.consume.deliveries import Subscription
    from kombu_pool.transport.consume.leases import Lease


#: Slots of which a quarter keeps who works busy for as long as a claim takes.
_MANY = 8


class Credit:
    """A channel's credit, and what Kombu and Celery look for as ``channel.qos``.

    A message takes a slot from when it is claimed until the store knows that it is done. So what comes back from a
    consumer that is killed is never more than its limit, however many acknowledgements were on their way.
    """

    #: Seconds for which slots are kept for a claim under way: a pool that does not answer must not have them for long.
    PATIENCE = 0.5
    #: Seconds for which they are kept for whose turn it is, until the claim begins; and after which who found them kept
    #: for another looks again.
    TURN = 0.1

    def __init__(self, read_ahead: int, wake: Callable[[Iterable[Subscription]], None]) -> None:
        self.prefetch_count = 0
        self.leases: set[Lease] = set()
        self.paused = False
        #: Who waits for a slot, in whichever pool; who frees one empties it and wakes them.
        self.starved: set[Subscription] = set()
        #: Who found no slot, or left them to others, when it last asked for some: it is woken, but still to come.
        self._waiting: set[Subscription] = set()
        self._acked = 0
        self._coming = 0
        #: The slots that claims under way may take, each until when they are kept for it.
        self._promised: dict[Subscription, tuple[int, float]] = {}
        self._promising = threading.Lock()
        self._refused = False
        self._read_ahead = read_ahead
        self._wake = wake

    def outstanding(self) -> int:
        """Count what was lent and is not settled."""
        return sum(lease.left for lease in list(self.leases))

    def can_consume(self) -> bool:
        """Tell whether another message may be delivered. Celery replaces this to stop prefetching."""
        return not self.prefetch_count or self.outstanding() - self._coming < self.prefetch_count

    def room(self, subscription: Subscription, *, patient: bool, coming: int = 0) -> int:
        """Return how many messages to claim for a subscription now, when so many slots come back with that very claim.

        A claim costs the same for one message as for many. So, while ``patient``, nothing is claimed for a channel that
        still has something to do and few of its slots free.
        """
        # Set before looking: a slot that comes free in between is then not missed.
        self._acked, self._coming = 0, coming
        self.starved.add(subscription)
        room = 0 if self.paused or not self.can_consume() else self._room(subscription, patient=patient)
        self._coming = 0
        if room > 0:
            self.starved.discard(subscription)
            self._waiting.discard(subscription)
        else:
            self._waiting.add(subscription)
        return room

    def _room(self, subscription: Subscription, *, patient: bool) -> int:
        if self._is_unlimited(subscription):
            missing = self._read_ahead - subscription.ready
            return missing if missing * 2 >= self._read_ahead else 0
        outstanding = self.outstanding() - self._coming
        free = self.prefetch_count - outstanding
        if patient and outstanding and not self._is_worth_a_claim(free):
            # They count towards what is waited for.
            self._acked += free
            return 0
        return min(free, self._read_ahead)

    def is_anothers_turn(self, subscription: Subscription, room: int, coming: int = 0) -> bool:
        """Tell whether another one waits for these slots that was fed before: who would claim now gives way to it.

        A store cannot tell what another one has waiting: without turns, whoever claims again with each acknowledgement
        would have all slots for as long as its queue is not empty.
        """
        if self._is_unlimited(subscription) or not self._waiting:
            return False
        with self._promising:
            return self._unpromised(subscription, room, coming) > 0 and self._next_in_turn(subscription) is not None

    def give_way(self, subscription: Subscription) -> None:
        """Keep all slots that are free for whose turn it is, for a moment, and wake it."""
        with self._promising:
            self.starved.add(subscription)
            self._waiting.add(subscription)
            self._promised.pop(subscription, None)
            first = self._next_in_turn(subscription)
            if first is not None:
                free = self._unpromised(first, self.prefetch_count)
                self._promised[first] = max(0, free), time.monotonic() + self.TURN
            self._refused = True
        self.replenish(but=subscription)

    def _next_in_turn(self, subscription: Subscription) -> Subscription | None:
        """Return who was fed before it, and waits for slots with something to claim, as far as is known.

        Who did not come when it was its turn is passed over until it does.
        """
        now = time.monotonic()
        for other, (_, until) in list(self._promised.items()):
            if other in self._waiting and until <= now:
                del self._promised[other]
                self._waiting.discard(other)
        waiting = [
            other
            for other in list(self._waiting)
            if other.fed < subscription.fed and now >= other.quiet_until and other.consumers and not other.no_ack
        ]
        return min(waiting, key=lambda other: other.fed, default=None)

    def promise(self, subscription: Subscription, room: int, coming: int = 0) -> int:
        """Return how many of so many slots to claim for, now that others may claim, too; see :meth:`claimed`."""
        if room <= 0 or self._is_unlimited(subscription):
            return room
        with self._promising:
            # As in room(): set before looking.
            self.starved.add(subscription)
            room = self._unpromised(subscription, room, coming)
            if room > 0:
                self.starved.discard(subscription)
                self._promised[subscription] = room, time.monotonic() + self.PATIENCE
            else:
                self._waiting.add(subscription)
                self._refused = True
        return room

    def _unpromised(self, subscription: Subscription, room: int, coming: int = 0) -> int:
        """Return how many of so many slots are promised to nobody else."""
        now, promised = time.monotonic(), self._promised.items()
        others = sum(slots for other, (slots, until) in promised if other is not subscription and now < until)
        return min(room, self.prefetch_count - self.outstanding() + coming - others)

    def claimed(self, subscription: Subscription) -> None:
        """Hear that the claim is over for which slots were promised: what it did not take is free for others."""
        with self._promising:
            self._promised.pop(subscription, None)
            refused, self._refused = self._refused, False
        if refused:
            self.replenish()

    def _is_unlimited(self, subscription: Subscription) -> bool:
        return subscription.no_ack or not self.prefetch_count

    def is_lingering(self) -> bool:
        """Tell whether there is a slot that patience alone leaves free."""
        return bool(self.prefetch_count) and self.can_consume()

    def delivered(self, subscription: Subscription) -> None:
        """Hear of a delivery while somebody is starved: read on once half of what was read ahead is gone."""
        if self._is_unlimited(subscription) and subscription.ready * 2 <= self._read_ahead:
            self.replenish()

    def acknowledged(self) -> None:
        """Hear of an acknowledgement while somebody is starved, and wake them once a claim is worth it."""
        self._acked += 1
        if self._is_worth_a_claim(self._acked):
            self.replenish()

    def _is_worth_a_claim(self, slots: int) -> bool:
        """Tell whether so many free slots are: most of them, where the rest keeps a few processes busy meanwhile."""
        return slots * 4 >= self.prefetch_count * (3 if self.prefetch_count >= _MANY else 2)

    def settled(self, lease: Lease) -> None:
        """Hear that the store knows of some of a lease's messages that they are done."""
        if lease.left <= 0:
            self.leases.discard(lease)
        if self.starved:
            self.replenish()

    def replenish(self, but: Subscription | None = None) -> None:
        """Wake who is starved, but for one that is so because it left the slots to the others."""
        starved = self.starved - {but}
        # Who is starved from now on stays so.
        self.starved.difference_update(starved)
        self._wake(starved)

    def forget(self, subscription: Subscription) -> None:
        """Hear that a subscription has no consumer left, and keep nothing for it."""
        self.starved.discard(subscription)
        self._waiting.discard(subscription)
        self.claimed(subscription)
