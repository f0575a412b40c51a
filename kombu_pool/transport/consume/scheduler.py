"""Decides for which consumers of a connection the next claim is, and how many messages it may take.

The threads that claim, one for each pool, ask :meth:`Scheduler.next` and tell :meth:`Scheduler.done`; nothing else
decides. To it, the consumers of a queue are *ready*, *claiming* (they have a grant) or *empty* (their queue was found
empty a moment ago, or a watch reports what comes).
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kombu_pool.transport.consume.consumers import Grant

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from kombu_pool.transport.consume.consumers import Place, QueueConsumers
    from kombu_pool.transport.consume.leases import Lease
    from kombu_pool.transport.consume.prefetch import PrefetchWindow

#: In which order the queues of a place are claimed from; each returns a sort key.
ORDERS: dict[str, Callable[[QueueConsumers], float | str]] = {
    "round_robin": lambda consumers: consumers.finish_tag,
    "priority": lambda consumers: consumers.since,
    "sorted": lambda consumers: consumers.queue,
}


@dataclass(slots=True)
class Pause:
    """There is nothing to claim now."""

    #: For how long at most, in seconds.
    limit: float
    #: Whether free slots are left alone that are not worth a claim yet.
    leave_few: bool
    #: Whether there are such slots.
    lingers: bool = False
    #: The windows that have no slot for those whose turn it is in this place.
    full: set[PrefetchWindow] = field(default_factory=set)
    #: Whether consumers wait for slots.
    is_full: bool = False
    #: The queues that were found empty.
    empty: frozenset[str] = frozenset()


class Scheduler:
    """One for each connection. ``order`` is a key of ORDERS."""

    #: How long an empty queue is not claimed from unless its store reports a message, in seconds.
    EMPTY_TTL = 0.1
    #: The longest pause, in seconds: a message without a wake-up is found after it.
    MAX_WAIT = 5.0
    #: How long slots are kept for a pool that does not answer, or whose turn it is and that does not ask, in seconds.
    RESERVATION_TTL = 0.5
    #: Pause before consumers are asked again how many messages they can start on, in seconds.
    DEMAND_INTERVAL = 0.01

    def __init__(self, order: str) -> None:
        self.places: tuple[Place, ...] = ()
        self._key = ORDERS[order]
        #: The finish tag of those that were granted a claim last: a queue that was idle has no claims in advance.
        self._virtual_time = 0
        # A signal handler may enter it again.
        self._lock = threading.RLock()

    # What there is to serve.

    def add(self, place: Place, consumers: QueueConsumers) -> None:
        """Serve these consumers from a place."""
        with self._lock:
            if place not in self.places:
                self.places = (*self.places, place)
            place.consumers = (*place.consumers, consumers)

    def remove(self, consumers: QueueConsumers) -> list[Place]:
        """Serve these consumers no more; remove and return the places that have no others."""
        with self._lock:
            for place in self.places:
                place.consumers = tuple(other for other in place.consumers if other is not consumers)
            idle = [place for place in self.places if not place.consumers]
            self.places = tuple(place for place in self.places if place.consumers)
        self.wake(consumers.window)
        return idle

    def clear(self) -> None:
        """Serve nothing any more: a lease may outlive its connection, but not hold its consumers."""
        self.places = ()

    def served(self) -> list[QueueConsumers]:
        """Return all consumers."""
        return [consumers for place in self.places for consumers in place.consumers]

    def wake(self, window: PrefetchWindow | None = None, but: Place | None = None) -> None:
        """Have the places look again whose consumers wait for a slot of this window, or all places."""
        now = time.monotonic()
        for place in self.places:
            if place is but:
                continue
            waiting = (one for one in place.consumers if one.window is window and one.grant is None)
            if window is None or any(now >= one.empty_until for one in waiting):
                place.wake()

    # For the threads that claim.

    def next(
        self, place: Place, *, leave_few: bool, only_control: bool = False, since: float = math.inf
    ) -> Grant | Pause:
        """Return what to do next in a place, or only for the consumers of its control queues.

        A queue that was found empty after the monotonic time ``since`` is not claimed from, however long ago that is:
        a pass over many queues of a slow store would never end.

        A claim of one message costs as much as a claim of many. With ``leave_few``, a channel that still has work and
        few free slots therefore claims nothing yet.
        """
        pause = Pause(self.MAX_WAIT, leave_few)
        with self._lock:
            now, place.called_at = min(since, time.monotonic()), math.inf
            ready = [one for one in place.consumers if one.grant is None and now >= one.empty_until]
            if only_control:
                ready = [one for one in ready if one.in_control_queue]
            for consumers in sorted(ready, key=self._key):
                grant = self._grant(place, consumers, pause)
                if grant is not None:
                    grant.wakeups, consumers.grant = place.wakeups, grant
                    if not consumers.is_unlimited:
                        consumers.window.reserved[grant] = grant.slots, time.monotonic()
                    self._virtual_time = max(self._virtual_time, consumers.finish_tag)
                    return grant
            pause.empty = frozenset(one.queue for one in place.consumers if now < one.empty_until)
        return pause

    def done(self, grant: Grant, count: int | None) -> None:
        """End a grant; ``count`` messages came, None: the queue was not asked."""
        consumers, place = grant.consumers, grant.place
        with self._lock:
            # First: should a signal handler raise here, the grant is not over, and give_up() ends it.
            consumers.window.reserved.pop(grant, None)
            consumers.grant = None
            if count is not None:
                # An empty queue had its turn, too.
                consumers.finish_tag = max(consumers.finish_tag, self._virtual_time) + (count or grant.slots)
            if count == 0 and grant.wakeups == place.wakeups:
                is_watched = consumers.queue in place.watched
                consumers.empty_until = math.inf if is_watched else time.monotonic() + self.EMPTY_TTL
        if not consumers.is_unlimited:
            self.wake(consumers.window, but=place)

    def give_up(self) -> None:
        """End the grants of the calling thread, which an exception of a signal handler broke off."""
        for consumers in self.served():
            grant = consumers.grant
            if grant is not None and grant.thread == threading.get_ident():
                self.done(grant, None)

    def watching(self, place: Place, queues: frozenset[str]) -> None:
        """Take note that a watch reports from now on what comes to these empty queues."""
        with self._lock:
            place.watched = queues
            for consumers in place.consumers:
                if consumers.queue in queues and consumers.empty_until > -math.inf:
                    consumers.empty_until = math.inf

    def woken(self, place: Place, ready: Collection[str] | None = None) -> None:
        """Take note that the watch ended, as something may have come to the queues that are ready, or to any."""
        with self._lock:
            place.wakeups += 1
            place.watched = frozenset()
            for consumers in place.consumers:
                # A broadcast may have come since, and before the tasks that are claimed next.
                if ready is None or consumers.queue in ready or (ready and consumers.in_control_queue):
                    consumers.empty_until = -math.inf
                elif consumers.empty_until == math.inf:
                    # Until the next watch. Without one, while another queue is busy, it is claimed from again.
                    consumers.empty_until = time.monotonic() + self.EMPTY_TTL

    def forget_empty(self, place: Place) -> None:
        """Claim from all queues of a place next."""
        with self._lock:
            for consumers in place.consumers:
                consumers.empty_until = -math.inf

    # The rules.

    def _grant(self, place: Place, consumers: QueueConsumers, pause: Pause) -> Grant | None:
        """Return a grant for these consumers, or take note in ``pause`` of what they wait for."""
        window = consumers.window
        is_limited = not consumers.is_unlimited
        if consumers.is_over or (is_limited and window in pause.full) or self._is_preceded(consumers, place):
            return None
        if consumers.single_active is not None and not consumers.single_active.active:
            pause.limit = min(pause.limit, consumers.single_active.POLL_INTERVAL)
            return None
        # Set before looking: a slot that becomes free in between is not missed.
        was_awaited, window.is_awaited, window.unclaimed = window.is_awaited, True, 0
        if window.paused:
            grant = None
        elif not is_limited:
            missing = self._read_ahead_of(consumers)
            grant = Grant(place, consumers, missing) if missing else None
        elif len(self.places) > 1 and (first := self._first_of(window)) not in (None, consumers):
            grant = self._yield(place, consumers, first, pause)
        else:
            grant = self._grant_slots(place, consumers, pause)
        if grant is None:
            pause.is_full = True
            if is_limited:
                pause.full.add(window)
        else:
            window.is_awaited = was_awaited
        return grant

    def _is_preceded(self, consumers: QueueConsumers, place: Place) -> bool:
        """Return whether others of the same queue have a higher priority, and slots: free ones, or those of a claim."""
        return any(
            other.priority > consumers.priority and (other.grant is not None or self._has_slots(other))
            for other in place.consumers
            if other.queue == consumers.queue and other is not consumers
        )

    def _has_slots(self, consumers: QueueConsumers) -> bool:
        window = consumers.window
        if not consumers.may_claim or window.paused:
            return False
        if consumers.is_unlimited:
            return self._read_ahead_of(consumers) > 0
        return self._free(window, window.outstanding()) > 0 and self._demand_of(window) > 0

    @staticmethod
    def _read_ahead_of(consumers: QueueConsumers) -> int:
        """Return how many messages to claim for consumers without a limit: at least half of what is read ahead."""
        read_ahead = consumers.window.read_ahead
        missing = read_ahead - consumers.ready
        return missing if missing * 2 >= read_ahead else 0

    def _grant_slots(self, place: Place, consumers: QueueConsumers, pause: Pause) -> Grant | None:
        """Return a grant for those whose turn it is among the consumers of their window."""
        window = consumers.window
        # Celery replaces the method; ours says what follows from the slots.
        if "can_consume" in vars(window) and not window.can_consume():
            return None
        own, others, theirs = self._acked_of(place, consumers)
        outstanding = window.outstanding()
        free = self._free(window, outstanding) + own
        slots = free + theirs
        if pause.leave_few and slots > 0 and outstanding > own and not window.is_worth_a_claim(slots):
            # These slots count towards the number that ends the wait.
            pause.lingers, window.unclaimed = True, slots
            return None
        if others:
            return Grant(place, consumers, 0, leases=others)
        wanted = min(free, window.read_ahead, self._demand_of(window))
        if wanted <= 0:
            pause.limit = min(pause.limit, self.MAX_WAIT if window.demand is None else self.DEMAND_INTERVAL)
            return None
        return Grant(place, consumers, wanted, own)

    @staticmethod
    def _acked_of(place: Place, consumers: QueueConsumers) -> tuple[int, list[Lease], int]:
        """Return how many acknowledgements wait in a window's leases on this queue, and those of the place's others."""
        own, others, theirs = 0, [], 0
        for lease in list(consumers.window.leases):
            if not lease.is_queued:
                continue
            if lease.queue == consumers.queue:
                own += lease.acked
            elif any(one.queue == lease.queue for one in place.consumers):
                others.append(lease)
                theirs += lease.acked
        return own, others, theirs

    def _yield(
        self, place: Place, consumers: QueueConsumers, first: QueueConsumers | None, pause: Pause
    ) -> Grant | None:
        """Yield the slots to those whose turn it is; return a grant to send acknowledgements that hold some.

        A store does not tell what other queues hold. Without this order, the consumers that claim again with each
        acknowledgement would keep all slots until their queue is empty.
        """
        if first is None or first in place.consumers:
            return None
        here = {one.queue for one in place.consumers}
        acked = [lease for lease in list(consumers.window.leases) if lease.is_queued and lease.queue in here]
        if acked:
            return Grant(place, consumers, 0, leases=acked)
        pause.limit = min(pause.limit, self.RESERVATION_TTL)
        if self._free(consumers.window, consumers.window.outstanding()) > 0:
            theirs = next(one for one in self.places if first in one.consumers)
            theirs.called_at = min(theirs.called_at, time.monotonic())
            theirs.wake()
        return None

    def _first_of(self, window: PrefetchWindow) -> QueueConsumers | None:
        """Return the consumers whose turn it is among those that may claim with this window.

        Of the first ones of all places, those that got the fewest messages.
        """
        now = time.monotonic()
        firsts: list[QueueConsumers] = []
        for place in self.places:
            ready = [
                one
                for one in place.consumers
                if one.window is window and one.grant is None and now >= one.empty_until and not one.no_ack
                if one.may_claim
            ]
            if ready and place.failure is None and now < place.called_at + self.RESERVATION_TTL:
                leading = (one for one in sorted(ready, key=self._key) if not self._is_preceded(one, place))
                firsts += itertools.islice(leading, 1)
        return min(firsts, key=lambda one: one.finish_tag, default=None)

    def _free(self, window: PrefetchWindow, outstanding: int) -> int:
        """Return how many slots are neither held, as far as the store knows, nor reserved for claims in progress."""
        since = time.monotonic() - self.RESERVATION_TTL
        reserved = sum(slots for slots, begun in list(window.reserved.values()) if begun > since)
        return window.limit - outstanding - reserved

    def _demand_of(self, window: PrefetchWindow) -> int:
        """Return how many messages more the consumers of a window can start on at once, or all that it may hold."""
        if window.demand is None:
            return window.limit
        reserved = sum(slots for slots, _ in list(window.reserved.values()))
        return window.demand() - reserved - sum(one.ready for one in self.served() if one.window is window)
