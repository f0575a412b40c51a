"""A scheduler without a store: its places, its consumers, and claims whose end a test decides."""

from __future__ import annotations

import itertools

from kombu_pool.transport.consume.consumers import Consumer, Grant, Place, QueueConsumers
from kombu_pool.transport.consume.leases import Lease
from kombu_pool.transport.consume.prefetch import PrefetchWindow
from kombu_pool.transport.consume.scheduler import Scheduler

#: Slots of the window.
LIMIT = 4
FAR = float("inf")


class Setup:
    """A scheduler, its places, and a window that all consumers share unless they bring their own."""

    def __init__(self, order="round_robin", places=("a",)):
        self.scheduler = Scheduler(order)
        self.woken = []
        self.places = {name: Place(name, lambda name=name: self.woken.append(name)) for name in places}
        self.window = self.new_window()
        self._ids = itertools.count()

    def new_window(self, limit=LIMIT, read_ahead=256):
        window = PrefetchWindow(read_ahead, self.scheduler.wake)
        window.prefetch_count = limit
        return window

    def consume(self, queue, place="a", window=None, priority=0, no_ack=False, **options):
        consumers = QueueConsumers(queue, no_ack, window or self.window, None, "life", **options)
        consumers.add(Consumer(queue, queue, queue, None, no_ack, None, priority=priority))
        self.scheduler.add(self.places[place], consumers)
        return consumers

    def next(self, place="a", leave_few=False, **options):
        return self.scheduler.next(self.places[place], leave_few=leave_few, **options)

    def claim(self, place="a", came=None, **options):
        """Claim as the scheduler says; return (queue, slots) and the lease on what came, by default all that may."""
        grant = self.next(place, **options)
        assert isinstance(grant, Grant), grant
        count = grant.slots if came is None else came
        lease = self.lease(grant.consumers, count) if count else None
        self.scheduler.done(grant, count)
        return (grant.consumers.queue, grant.slots), lease

    def lease(self, consumers, count):
        ids = [str(next(self._ids)) for _ in range(count)]
        lease = Lease(consumers.queue, None, "claim", ids, FAR, consumers.window.settled)
        consumers.window.leases.add(lease)
        return lease


def settle(lease):
    """Settle all messages of a lease, as the store confirms it."""
    ids = list(lease.known()[0])
    lease.begin_settling(ids)
    lease.flushed(ids)


def ack(lease, count):
    """Acknowledge so many messages, of which the store does not know yet."""
    unsettled, settling = lease.known()
    for message_id in sorted(unsettled - settling)[:count]:
        lease.ack(message_id)
        lease.is_queued = True
