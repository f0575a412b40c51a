"""Delivers the messages that fetchers claimed for one connection, in the thread that drains events or runs the hub."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from kombu_pool.transport.consume.cancellation import Cancellation
from kombu_pool.transport.consume.claiming import Claimer
from kombu_pool.transport.consume.fetcher import Fetcher
from kombu_pool.transport.consume.leases import elapsed
from kombu_pool.transport.consume.waker import Waker
from kombu_pool.transport.threads import Flag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from kombu_pool import errors
    from kombu_pool.model import Message, Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.storage import ControlDriver
    from kombu_pool.transport.consume.leases import Lease, Renewal
    from kombu_pool.transport.consume.prefetch import Consumer, QueueConsumers
    from kombu_pool.transport.consume.settlement import Settlement

logger = logging.getLogger(__name__)

Ready = tuple["QueueConsumers", "Lease", "Message"]


class Dispatcher:
    """The consuming half of a connection.

    Fetchers append messages to ``_ready`` from their threads; the thread that drains events, or the hub, takes them.
    """

    #: The most messages delivered in one tick of the event loop, so that its timers run in between.
    MAX_DELIVERIES_PER_TICK = 100
    #: How long closing waits for a thread that may be inside a call to a hanging store, in seconds.
    JOIN_TIMEOUT = 5.0

    def __init__(
        self,
        data: DataDriver,
        control: ControlDriver,
        renewal: Renewal,
        settlement: Settlement,
        project: Project,
        start_maintenance: Callable[[], None],
    ) -> None:
        ttl = renewal.metadata["ttl"]
        cancellation = Cancellation(data, control.consumers_controller, project, ttl, self.cancel)
        self.claimer = Claimer(data, renewal, settlement, project, self.put, cancellation.on_refusal)
        self._pool_of, self._place_of = data.catalog.pool_of, data.catalog.place_of
        self._start_maintenance = start_maintenance
        self._ready: deque[Ready] = deque()
        self._failures: deque[errors.ConnectionError] = deque(maxlen=1)
        self._cancelled: deque[Consumer] = deque()
        self._arrived = Flag()
        self._lock = threading.RLock()
        #: By the place of their queues: a pool, or the part of a pool that may be unreachable by itself.
        self._fetchers: dict[str | None, Fetcher] = {}
        self._waker: Waker | None = None
        self._stopped = False
        settlement.interrupted.keepers.add(self)

    # For the thread that drains events, or the hub.

    def drain_events(self, timeout: float | None = None) -> None:
        """Deliver one message; a timeout of 0 does not wait for one to be published.

        Raises:
            TimeoutError: no message came within ``timeout`` seconds.
            PoolUnavailable: no pool that this connection consumes from answers.
        """
        try:
            delivered = self._drain(timeout)
        except BaseException:
            self.claimer.settlement.suspect()
            raise
        if not delivered:
            raise TimeoutError(f"no message within {timeout} s")

    def _drain(self, timeout: float | None) -> bool:
        if self._deliver_one():
            return True
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            self._arrived.clear()
            if self._claims_inline:
                for fetcher in list(self._fetchers.values()):
                    fetcher.claim_inline(blocking=timeout != 0)
            if self._deliver_one():
                return True
            left = None if until is None else until - time.monotonic()
            if (left is not None and left <= 0) or not self._arrived.wait(left):
                return False

    def on_readable(self) -> None:
        """Deliver what is ready: the hub calls this when the waker is readable."""
        waker = self._waker
        if waker is None:
            return
        waker.drain()
        try:
            for _ in range(self.MAX_DELIVERIES_PER_TICK):
                if not self._deliver_one():
                    return
        except BaseException:
            self.claimer.settlement.suspect()
            raise
        finally:
            # A callback may have raised: the messages behind its own must not wait for the next wake-up.
            if self._ready or self._cancelled:
                waker.wake()

    def _deliver_one(self) -> bool:
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
            if consumer is not None and elapsed() < lease.valid_until:
                queue_consumers.deliver(queue_consumers, consumer, lease, message)
                return True
            queue_consumers.delivered += 1
            # A claim that is late may still live; it must not hold the message until this process ends.
            self.claimer.settlement.release_later(lease, message["id"])
            self.claimer.settlement.wake()

    def waker(self) -> Waker:
        """Return the waker of the event loop. With it, only fetcher threads claim."""
        if self._waker is None:
            self._waker = Waker()
            if self._ready or self._failures or self._cancelled:
                self._waker.wake()
            self.wake()
        return self._waker

    @property
    def _claims_inline(self) -> bool:
        """Return whether the thread that drains events also claims, once nothing is ready.

        A hub must never wait for a store; nor is one of several pools allowed to delay the others.
        """
        return self._waker is None and len(self._fetchers) == 1

    # For fetchers, from their threads.

    def put(self, consumers: QueueConsumers, lease: Lease, messages: Sequence[Message]) -> bool:
        """Make claimed messages ready; return False if no consumer is left for them."""
        with self._lock:
            if self._stopped or not consumers.consumers:
                return False
            consumers.claimed += len(messages)
            self._ready.extend([(consumers, lease, message) for message in messages])
            self._notify()
        return True

    def report(self, failure: errors.ConnectionError) -> None:
        """Take note of a failing pool. The connection fails only when all of its pools do."""
        with self._lock:
            if all(fetcher.failure is not None for fetcher in self._fetchers.values() if fetcher.served):
                self.fail(failure)

    def fail(self, failure: errors.ConnectionError) -> None:
        """Raise an error from the next :meth:`drain_events`, so that Kombu opens another connection."""
        with self._lock:
            self._failures.append(failure)
            self._notify()

    def cancel(self, consumer: Consumer) -> None:
        """Let :meth:`drain_events` tell a consumer that it consumes nothing any more."""
        with self._lock:
            if not consumer.is_cancelled and not self._stopped:
                consumer.is_cancelled = True
                self._cancelled.append(consumer)
                self._notify()

    def _notify(self) -> None:
        self._arrived.set()
        if self._waker is not None:
            self._waker.wake()

    def migrate_mapped(self, fetcher: Fetcher) -> None:
        """Move consumers whose queues have a pool by now from the fetcher without a pool to that pool's."""
        for consumers in fetcher.served:
            if self._pool_of(consumers.queue, self.claimer.project) is not None:
                fetcher.remove(consumers)
                self.add(consumers)

    # For channels.

    def add(self, consumers: QueueConsumers) -> None:
        """Fetch messages for the consumers of a queue."""
        self._start_maintenance()
        place = self._place_of(consumers.queue, self.claimer.project)
        pool = None if place is None else self._pool_of(consumers.queue, self.claimer.project)
        with self._lock:
            fetcher = self._fetchers.get(place)
            if fetcher is None:
                fetcher = self._fetchers[place] = Fetcher(pool, self.claimer, self.report, self.migrate_mapped)
            fetcher.add(consumers)
        # From the second fetcher on, the first one's thread claims.
        self.wake()

    def remove(self, consumers: QueueConsumers) -> None:
        """Fetch no more for consumers that are all cancelled, and release at once what is ready for them."""
        with self._lock:
            for fetcher in self._fetchers.values():
                fetcher.remove(consumers)
        consumers.window.forget(consumers)
        # A claim in progress releases what it gets, for no consumer is left; wait until it has.
        if consumers.claiming.acquire(timeout=self.JOIN_TIMEOUT):
            consumers.claiming.release()
        with self._lock:
            undelivered = [item for item in self._ready if item[0] is consumers]
            for item in undelivered:
                self._ready.remove(item)
            consumers.delivered = consumers.claimed
            for place in [place for place, fetcher in self._fetchers.items() if not fetcher.served]:
                self._fetchers.pop(place).stop()
        by_lease: dict[Lease, list[str]] = {}
        for _, lease, message in undelivered:
            by_lease.setdefault(lease, []).append(message["id"])
        for lease, message_ids in by_lease.items():
            self.claimer.settlement.release(lease, message_ids)

    def kept(self) -> Iterator[tuple[Lease, Iterable[str]]]:
        """Return the messages that are ready."""
        for _, lease, message in list(self._ready):
            yield lease, (message["id"],)

    def forget(self, lease: Lease, message_ids: set[str]) -> None:
        """Count what is ready again: the count of a delivery that was broken off may be missing."""
        with self._lock:
            for fetcher in self._fetchers.values():
                for consumers in fetcher.served:
                    if consumers.queue == lease.queue:
                        ready = sum(item[0] is consumers for item in list(self._ready))
                        consumers.delivered = consumers.claimed - ready

    def consumed_queues(self) -> list[tuple[Project, str]]:
        """Return (project, queue) of what is consumed."""
        fetchers = list(self._fetchers.values())
        return [(self.claimer.project, consumers.queue) for fetcher in fetchers for consumers in list(fetcher.served)]

    def answering_queues(self) -> dict[str, list[str]]:
        """Return the consumed queues by their place, without the places that fail."""
        answering = [(place, one) for place, one in list(self._fetchers.items()) if place and one.failure is None]
        return {place: [consumers.queue for consumers in fetcher.served] for place, fetcher in answering}

    def wake(self, waiting: set[QueueConsumers] | None = None) -> None:
        """Make the fetchers of these consumers, or all fetchers, look for free slots again."""
        if self._claims_inline:
            self._arrived.set()
            return
        for fetcher in list(self._fetchers.values()):
            if waiting is None or not waiting.isdisjoint(fetcher.served):
                fetcher.wake()

    # The end.

    def stop(self) -> None:
        """End the fetchers, at most JOIN_TIMEOUT each, and close the waker; what is ready is not delivered."""
        with self._lock:
            self._stopped = True
            fetchers = list(self._fetchers.values())
            self._fetchers.clear()
            self._notify()
        for fetcher in fetchers:
            fetcher.stop()
        for fetcher in fetchers:
            fetcher.join(self.JOIN_TIMEOUT)
        if self._waker is not None:
            self._waker.close()
            self._waker = None

    def release_ready(self) -> None:
        """Queue the release of all messages that were not delivered."""
        for _, lease, message in self._ready:
            self.claimer.settlement.release_later(lease, message["id"])
        self._ready.clear()
