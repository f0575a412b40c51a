"""One connection: its channels, the messages that wait to be delivered, and the threads that fetch them."""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from amqp.exceptions import RecoverableConnectionError

from kombu_pool import errors
from kombu_pool.transport import broker as brokers
from kombu_pool.transport.channel import Channel
from kombu_pool.transport.consume.fetcher import Fetcher
from kombu_pool.transport.consume.settlement import held
from kombu_pool.transport.consume.waker import Bell
from kombu_pool.transport.declare import exclusive_owners
from kombu_pool.transport.upkeep.control_epoch import FORGOTTEN, Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kombu import Connection

    from kombu_pool.model import Message
    from kombu_pool.storage import Watch
    from kombu_pool.transport.consume.deliveries import Subscription
    from kombu_pool.transport.consume.leases import Lease
    from kombu_pool.transport.options import TransportOptions

logger = logging.getLogger(__name__)

Ready = tuple["Subscription", "Lease", "Message"]


_open: weakref.WeakSet[PoolConnection] = weakref.WeakSet()


def _disown() -> None:
    """Mark every connection as closed: a child has none of the threads that served it, and owes nobody anything."""
    for connection in list(_open):
        connection.closed = True
        for channel in connection.channels:
            channel.after_fork()


def _close_all() -> None:
    """Close what the program left open: acknowledgements that are gathered go out, the rest comes back at once."""
    for connection in list(_open):
        connection.close()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown)


class PoolConnection:
    """What Kombu calls the connection of a transport.

    Fetchers put messages into ``_ready`` from their threads; whoever drains events, or the hub, takes them out.
    """

    #: The most messages that one turn of the event loop delivers, so that timers get theirs too.
    TURN = 100
    #: Seconds to wait for a thread that may be inside a store that does not answer.
    PATIENCE = 5.0

    def __init__(self, client: Connection, options: TransportOptions) -> None:
        self.client = client
        self.id = exclusive_owners.new()
        self.options = options
        self.broker = brokers.acquire(options)
        self.channels: list[Channel] = []
        #: Also true in a child: what a fork inherits is its parent's.
        self.closed = False
        self.exclusive: set[str] = set()
        self._ids = itertools.count(1)
        self._ready: deque[Ready] = deque()
        self._failures: deque[errors.ConnectionError] = deque(maxlen=1)
        self._arrived = threading.Event()
        self._lock = threading.RLock()
        self._fetchers: dict[str | None, Fetcher] = {}
        self._bell: Bell | None = None
        self._owing = 0
        self.memory = Memory(self.broker.control)
        _open.add(self)
        self.broker.connections.add(self)

    def recall(self, epoch: str) -> None:
        """Fail, for whoever drains events to connect anew, unless the control store is in the epoch that it was in."""
        if not self.closed and self.memory.fades(epoch):
            logger.warning(FORGOTTEN)
            with self._lock:
                self._failures.append(errors.ConnectionError(FORGOTTEN))
                self._notify()

    def channel(self) -> Channel:
        """Open a channel."""
        channel = Channel(self, next(self._ids))
        self.channels.append(channel)
        return channel

    def require_open(self) -> None:
        """Refuse what would need the threads that serve the connection.

        Raises:
            RecoverableConnectionError: it is closed, or another process's.
        """
        if self.closed:
            raise RecoverableConnectionError("The connection is closed: open another one")

    # Deliveries.

    def drain_events(self, timeout: float | None = None) -> None:
        """Deliver one message; 0 seconds means without waiting for one to come.

        Raises:
            TimeoutError: none came in time.
            PoolUnavailable: no pool that this connection consumes from answers.
        """
        if self._deliver_one():
            return
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            self._arrived.clear()
            if self._feeds_itself:
                for fetcher in list(self._fetchers.values()):
                    fetcher.feed(patient=timeout != 0)
            if self._deliver_one():
                return
            left = None if until is None else until - time.monotonic()
            if (left is not None and left <= 0) or not self._arrived.wait(left):
                raise TimeoutError(f"no message within {timeout} s")

    def _deliver_one(self) -> bool:
        """Deliver the next message that is still ours; return whether there was one."""
        if self._failures:
            raise self._failures.popleft()
        while True:
            try:
                subscription, lease, message = self._ready.popleft()
            except IndexError:
                return False
            consumers = subscription.consumers
            consumer = consumers[0] if len(consumers) == 1 else subscription.next_consumer()
            if consumer is not None and time.monotonic() < lease.valid_until:
                subscription.channel.deliver(subscription, consumer, lease, message)
                return True
            subscription.taken += 1
            # If its claim is late but lives, it must not stay claimed for as long as this process does.
            self.broker.settlement.orphan(lease, message["id"])
            self.broker.settlement.ring()

    def on_readable(self) -> None:
        """Deliver what is ready: the hub calls this when the bell has rung."""
        bell = self._bell
        if bell is None:
            return
        bell.quiet()
        try:
            for _ in range(self.TURN):
                if not self._deliver_one():
                    return
        finally:
            # A callback may have failed, and those behind its message have a right to be heard.
            if self._ready:
                bell.ring()

    def bell(self) -> Bell:
        """Return the bell that rings for the event loop when messages are ready."""
        if self._bell is None:
            self._bell = Bell()
            if self._ready or self._failures:
                self._bell.ring()
            self.wake()
        return self._bell

    @property
    def _feeds_itself(self) -> bool:
        """Tell whether who drains events claims, too, once nothing is left.

        Not with a hub, which must never wait for a store; nor from several pools, of which one may keep us waiting.
        """
        return self._bell is None and len(self._fetchers) == 1

    # What fetchers call, from their threads.

    def claim(self, subscription: Subscription, limit: int, coming: int = 0) -> int | None:
        """Claim messages for a subscription and make them ready; return how many. From any thread.

        ``coming`` of the limit are slots of messages that are done, of which the store is told on this occasion. Those
        that it is being told of by somebody else are not free yet: when no other is, nothing is claimed, and None said.
        """
        with subscription.claiming:
            return self._claim(subscription, limit, coming)

    def _claim(self, subscription: Subscription, limit: int, coming: int) -> int | None:
        broker, settlement = self.broker, self.broker.settlement
        begun = time.monotonic()
        done = settlement.take(self._dirty_leases(subscription))
        if coming:
            limit = max(0, limit - max(0, coming - sum(map(len, done.values()))))
            if not limit and not done:
                return None
        try:
            refused, claim_id, messages = broker.data.claim_controller.ack_and_claim(
                subscription.queue, held(done), broker.renewal.metadata, self.options.project, limit
            )
        except BaseException:
            # Whatever it was, a signal's handler too: a message that nobody tells the store of would be done again.
            settlement.put_back(done)
            raise
        settlement.taken(done, refused)
        if claim_id is None or not messages:
            return 0 if limit else None
        credit = None if subscription.no_ack else subscription.channel.qos
        lease = broker.renewal.lease(subscription.queue, self.options.project, claim_id, len(messages), begun, credit)
        with self._lock:
            if not self.closed and subscription.consumers:
                subscription.lent += len(messages)
                self._ready.extend([(subscription, lease, message) for message in messages])
                self._notify()
                return len(messages)
        broker.settlement.release(lease, [message["id"] for message in messages])
        return 0

    def watch(self, queues: Iterable[str]) -> Watch:
        """Watch queues of one pool."""
        return self.broker.data.watch([(self.options.project, queue) for queue in queues])

    def report(self, failure: errors.ConnectionError) -> None:
        """Hear of a pool that fails. The connection fails only when all of its pools do."""
        with self._lock:
            if all(fetcher.failure is not None for fetcher in self._fetchers.values() if not fetcher.is_idle):
                self._failures.append(failure)
                self._notify()

    def _notify(self) -> None:
        self._arrived.set()
        if self._bell is not None:
            self._bell.ring()

    # Subscriptions.

    def subscribe(self, subscription: Subscription) -> None:
        """Fetch for a subscription."""
        self.broker.housekeeping.start()
        pool = self.broker.data.catalog.pool_of(subscription.queue, self.options.project)
        with self._lock:
            fetcher = self._fetchers.get(pool)
            if fetcher is None:
                fetcher = self._fetchers[pool] = Fetcher(self, pool)
            fetcher.add(subscription)
        # With a second fetcher, the first claims by itself from now on.
        self.wake()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Fetch no more for a subscription that has no consumer left; what is ready for it goes back at once."""
        with self._lock:
            for fetcher in self._fetchers.values():
                fetcher.remove(subscription)
        subscription.channel.qos.forget(subscription)
        # A claim that is under way gives back by itself what it gets: nobody consumes any more. It must have done so.
        if subscription.claiming.acquire(timeout=self.PATIENCE):
            subscription.claiming.release()
        with self._lock:
            back = [item for item in self._ready if item[0] is subscription]
            for item in back:
                self._ready.remove(item)
            subscription.taken = subscription.lent
            for pool in [pool for pool, fetcher in self._fetchers.items() if fetcher.is_idle]:
                self._fetchers.pop(pool).stop()
        by_lease: dict[Lease, list[str]] = {}
        for _, lease, message in back:
            by_lease.setdefault(lease, []).append(message["id"])
        for lease, message_ids in by_lease.items():
            self.broker.settlement.release(lease, message_ids)

    def settle_in(self, fetcher: Fetcher) -> None:
        """Move the subscriptions of a fetcher without a pool to those of the pools that their queues have got."""
        for subscription in fetcher.subscriptions:
            if self.broker.data.catalog.pool_of(subscription.queue, self.options.project) is not None:
                fetcher.remove(subscription)
                self.subscribe(subscription)

    def wake(self, starved: Iterable[Subscription] | None = None) -> None:
        """Tell that there is credit again: who feeds these, or all, or who drains events and then claims itself."""
        if self._feeds_itself:
            self._arrived.set()
            return
        for fetcher in list(self._fetchers.values()):
            if starved is None or fetcher.feeds_any(starved):
                fetcher.wake()

    def acknowledged(self, subscription: Subscription) -> int:
        """Count the slots that come back with the next claim for a subscription, for their messages are done."""
        return sum(len(lease.acked) for lease in self._dirty_leases(subscription))

    def settle(self, subscription: Subscription) -> None:
        """Tell the store what was acknowledged of a subscription's queue: the slots are free after that."""
        self.broker.settlement.send(self._dirty_leases(subscription))

    @staticmethod
    def _dirty_leases(subscription: Subscription) -> list[Lease]:
        leases = list(subscription.channel.qos.leases)
        return [lease for lease in leases if lease.is_dirty and lease.queue == subscription.queue]

    # The end.

    def close(self) -> None:
        """Close every channel: what is unacknowledged goes back at once. Bounded, also when the store is gone."""
        if self.closed:
            return
        for channel in list(self.channels):
            self._bounded(channel.close)
        self._stop()
        self._bounded(self._delete_exclusive)
        self._bounded(self.broker.settlement.flush)
        brokers.release(self.broker)

    def _delete_exclusive(self) -> None:
        if self.exclusive:
            self.broker.queues.retire_owner(self.id)
        while self.exclusive:
            self.broker.queues.delete(self.exclusive.pop())

    @staticmethod
    def _bounded(step: Callable[[], None]) -> None:
        """Take one step of closing; a store that is gone must not keep us from the next."""
        try:
            step()
        except errors.KombuPoolError as error:
            logger.warning("The connection closes without its store; claims end by themselves: %s", error)

    def abandon(self) -> None:
        """Give the connection up without talking to anybody who may not answer.

        What was not delivered goes back. What was stays leased for as long as somebody holds the message, who may
        acknowledge it even now; the lease of a message that is dropped goes back by itself.
        """
        if self.closed:
            return
        self._stop()
        self.broker.renewal.stop_renewing(self.id)
        for _, lease, message in self._ready:
            self.broker.settlement.orphan(lease, message["id"])
        self._ready.clear()
        owing = [channel for channel in self.channels if channel.abandon(self._paid)]
        self.channels.clear()
        self._owing = len(owing)
        self.broker.settlement.ring()
        if not owing:
            brokers.release(self.broker)

    def _paid(self) -> None:
        """Hear that a channel that was abandoned owes nothing any more."""
        with self._lock:
            self._owing -= 1
            if self._owing:
                return
        # The last message may be settled by the very thread that the broker's end waits for.
        threading.Thread(target=brokers.release, args=(self.broker,), daemon=True).start()

    def _stop(self) -> None:
        with self._lock:
            self.closed = True
            exclusive_owners.end(self.id)
            fetchers = list(self._fetchers.values())
            self._fetchers.clear()
            self._notify()
        for fetcher in fetchers:
            fetcher.stop()
        for fetcher in fetchers:
            fetcher.join(self.PATIENCE)
        if self._bell is not None:
            self._bell.close()
            self._bell = None
