"""The messages of a connection that are claimed and not delivered, and what else its consumers are to be told."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from kombu_pool.clock import SYSTEM_CLOCK
from kombu_pool.transport.consume.waker import Waker
from kombu_pool.transport.threads import Flag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool import errors
    from kombu_pool.model import Message
    from kombu_pool.transport.consume.consumers import Consumer, QueueConsumers
    from kombu_pool.transport.consume.leases import Lease
    from kombu_pool.transport.consume.settlement import Settlement


class Inbox:
    """Threads that claim put messages in; the thread that drains events, or the hub, delivers them."""

    #: The most messages delivered in one tick of the event loop, so that its timers run in between.
    MAX_DELIVERIES_PER_TICK = 100

    def __init__(self, settlement: Settlement) -> None:
        #: Set when there is something to deliver, or slots are free.
        self.arrived = Flag()
        self.waker: Waker | None = None
        self._settlement = settlement
        self._ready: deque[tuple[QueueConsumers, Lease, Message]] = deque()
        self._failures: deque[errors.ConnectionError] = deque(maxlen=1)
        self._cancelled: deque[Consumer] = deque()
        self._closed = False
        self._lock = threading.RLock()

    # For the threads that claim.

    def put(self, consumers: QueueConsumers, lease: Lease, messages: Sequence[Message]) -> bool:
        """Make claimed messages ready; return False if no consumer is left for them."""
        with self._lock:
            if self._closed or not consumers.consumers:
                return False
            consumers.claimed += len(messages)
            self._ready.extend([(consumers, lease, message) for message in messages])
            self._notify()
        return True

    def fail(self, failure: errors.ConnectionError) -> None:
        """Raise an error from the next delivery, so that Kombu opens another connection."""
        with self._lock:
            self._failures.append(failure)
            self._notify()

    def cancel(self, consumer: Consumer) -> None:
        """Tell a consumer with the next delivery that it consumes nothing any more."""
        with self._lock:
            if not consumer.is_cancelled and not self._closed:
                consumer.is_cancelled = True
                self._cancelled.append(consumer)
                self._notify()

    def _notify(self) -> None:
        self.arrived.set()
        if self.waker is not None:
            self.waker.wake()

    # For the thread that delivers.

    def has_any(self) -> bool:
        """Return whether there is something to deliver."""
        return bool(self._ready or self._failures or self._cancelled)

    def deliver(self) -> bool:
        """Deliver the next message whose claim is valid; return whether there was one."""
        if self._failures:
            raise self._failures.popleft()
        if self._cancelled:
            cancelled = self._cancelled.popleft()
            cancelled.on_cancelled(cancelled)
            return True
        while True:
            try:
                queue_consumers, lease, message = self._ready.popleft()
            except IndexError:
                return False
            consumers = queue_consumers.consumers
            consumer = consumers[0] if len(consumers) == 1 else queue_consumers.next_consumer()
            if consumer is not None and SYSTEM_CLOCK.elapsed() < lease.valid_until:
                queue_consumers.deliver(queue_consumers, consumer, lease, message)
                return True
            queue_consumers.delivered += 1
            # A claim that is late may still live; it must not hold the message until this process ends.
            self._settlement.release_later(lease, message["id"])
            self._settlement.wake()

    def deliver_all(self) -> None:
        """Deliver what is ready: the hub calls this when the waker is readable."""
        waker = self.waker
        if waker is None:
            return
        waker.drain()
        try:
            for _ in range(self.MAX_DELIVERIES_PER_TICK):
                if not self.deliver():
                    return
        except BaseException:
            self._settlement.suspect()
            raise
        finally:
            # A callback may have raised: the messages behind its own must not wait for the next wake-up.
            if self._ready or self._cancelled:
                waker.wake()

    def open_waker(self) -> Waker:
        """Return the waker of the event loop."""
        if self.waker is None:
            self.waker = Waker()
            if self.has_any():
                self.waker.wake()
        return self.waker

    # The end of consumers, and of the connection.

    def remove(self, consumers: QueueConsumers) -> None:
        """Release at once what is ready for these consumers."""
        with self._lock:
            undelivered = [item for item in self._ready if item[0] is consumers]
            for item in undelivered:
                self._ready.remove(item)
            consumers.delivered = consumers.claimed
        by_lease: dict[Lease, list[str]] = {}
        for _, lease, message in undelivered:
            by_lease.setdefault(lease, []).append(message["id"])
        for lease, message_ids in by_lease.items():
            self._settlement.release(lease, message_ids)

    def release_all(self) -> None:
        """Queue the release of all messages that were not delivered."""
        for _, lease, message in self._ready:
            self._settlement.release_later(lease, message["id"])
        self._ready.clear()

    def stop(self) -> None:
        """Take no more messages; what is ready is not delivered."""
        with self._lock:
            self._closed = True
            self._notify()

    def close(self) -> None:
        """Close the waker."""
        waker, self.waker = self.waker, None
        if waker is not None:
            waker.close()

    def ready(self) -> list[tuple[QueueConsumers, Lease, str]]:
        """Return (consumers, lease, message id) of what is ready."""
        return [(consumers, lease, message["id"]) for consumers, lease, message in list(self._ready)]
