"""The consuming half of a connection: what claims for its consumers, and the thread that drains events."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from kombu_pool.transport.consume.cancellation import Cancellation
from kombu_pool.transport.consume.claiming import Claimer
from kombu_pool.transport.consume.consumers import Place
from kombu_pool.transport.consume.fetcher import Fetcher
from kombu_pool.transport.consume.inbox import Inbox
from kombu_pool.transport.consume.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kombu_pool import errors
    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.storage import ControlDriver
    from kombu_pool.transport.consume.consumers import QueueConsumers
    from kombu_pool.transport.consume.leases import Lease
    from kombu_pool.transport.consume.prefetch import PrefetchWindow
    from kombu_pool.transport.consume.renewal import Renewal
    from kombu_pool.transport.consume.settlement import Settlement
    from kombu_pool.transport.consume.waker import Waker


class Dispatcher:
    """Has a fetcher for each place that its consumers consume from."""

    #: How long closing waits for a thread that may be inside a call to a hanging store, in seconds.
    JOIN_TIMEOUT = 5.0
    #: How long a non-blocking ``drain_events`` waits for a claim of the fetcher's thread, in seconds.
    CLAIM_TIMEOUT = 0.5

    def __init__(
        self,
        data: DataDriver,
        control: ControlDriver,
        renewal: Renewal,
        settlement: Settlement,
        project: Project,
        order: str,
        start_maintenance: Callable[[], None],
    ) -> None:
        self.inbox = Inbox(settlement)
        self.scheduler = Scheduler(order)
        cancellation = Cancellation(
            data, control.consumers_controller, project, renewal.metadata["ttl"], self.inbox.cancel
        )
        self.claimer = Claimer(data, renewal, settlement, project, self.inbox.put, cancellation.on_refusal)
        self._pool_of, self._place_of = data.catalog.pool_of, data.catalog.place_of
        self._start_maintenance = start_maintenance
        self._lock = threading.RLock()
        #: By the place of their queues: a pool, or the part of a pool that may be unreachable by itself.
        self._fetchers: dict[str | None, Fetcher] = {}
        settlement.interrupted.keepers.add(self)

    # For the thread that drains events, or the hub.

    def drain_events(self, timeout: float | None = None) -> None:
        """Deliver one message; a timeout of 0 does not wait for one to be published.

        Raises:
            TimeoutError: no message came within ``timeout`` seconds.
            PoolUnavailable: no pool that this connection consumes from answers.
        """
        try:
            delivered = self.inbox.deliver() or self._drain(timeout)
        except BaseException:
            self.scheduler.give_up()
            self.claimer.settlement.suspect()
            raise
        if not delivered:
            raise TimeoutError(f"no message within {timeout} s")

    def _drain(self, timeout: float | None) -> bool:
        """Deliver the next message that comes, or is claimed here; return whether one did in time."""
        inbox = self.inbox
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            inbox.arrived.clear()
            if self._claims_inline:
                self._claim_inline(blocking=timeout != 0)
            if inbox.deliver():
                return True
            left = None if until is None else until - time.monotonic()
            if (left is not None and left <= 0) or not inbox.arrived.wait(left):
                return False

    def _claim_inline(self, *, blocking: bool) -> None:
        for fetcher in list(self._fetchers.values()):
            fetcher.claim_inline(blocking=blocking)
            if not self._claims_inline:
                # An event loop or another place came meanwhile, and the thread left alone what was being claimed.
                fetcher.wake()
            if not blocking:
                self._await_claims(fetcher)

    def _await_claims(self, fetcher: Fetcher) -> None:
        """Wait until something is ready or the fetcher's thread, which may be about to bring it, claims no more.

        It looks each millisecond: an exception of a signal handler could leave a lock held.
        """
        until = time.monotonic() + self.CLAIM_TIMEOUT
        while fetcher.is_claiming() and not self.inbox.has_any() and time.monotonic() < until:
            time.sleep(0.001)

    @property
    def _claims_inline(self) -> bool:
        """Return whether the thread that drains events also claims, once nothing is ready.

        A hub must never wait for a store; nor is one of several pools allowed to delay the others.
        """
        return self.inbox.waker is None and len(self._fetchers) == 1

    def waker(self) -> Waker:
        """Return the waker of the event loop. With it, only fetcher threads claim."""
        is_new = self.inbox.waker is None
        waker = self.inbox.open_waker()
        if is_new:
            self.wake()
        return waker

    def wake(self, window: PrefetchWindow | None = None) -> None:
        """Have those look for free slots again whose consumers use this window, or all."""
        self.scheduler.wake(window)

    def _wake(self, place: str | None) -> None:
        fetcher = self._fetchers.get(place)
        if self._claims_inline:
            self.inbox.arrived.set()
        elif fetcher is not None:
            fetcher.wake()

    # For fetchers, from their threads.

    def report(self, failure: errors.ConnectionError) -> None:
        """Take note of a failing pool. The connection fails only when all of its pools do."""
        if all(place.failure is not None for place in self.scheduler.places):
            self.inbox.fail(failure)

    def migrate_mapped(self, fetcher: Fetcher) -> None:
        """Move consumers whose queues have a pool by now from the fetcher without a pool to that pool's."""
        for consumers in fetcher.place.consumers:
            if self._pool_of(consumers.queue, self.claimer.project) is not None:
                self._stop_idle(consumers)
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
                at = Place(pool, partial(self._wake, place))
                fetcher = Fetcher(at, self.scheduler, self.claimer, self.report, self.migrate_mapped)
                self._fetchers[place] = fetcher
            self.scheduler.add(fetcher.place, consumers)
        fetcher.start()
        # From the second fetcher on, the first one's thread claims.
        self.wake()

    def remove(self, consumers: QueueConsumers) -> None:
        """Fetch no more for consumers that are all cancelled, and release at once what is ready for them."""
        self._stop_idle(consumers)
        # A claim in progress releases what it gets, for no consumer is left; wait until it has.
        if consumers.claiming.acquire(timeout=self.JOIN_TIMEOUT):
            consumers.claiming.release()
        self.inbox.remove(consumers)

    def _stop_idle(self, consumers: QueueConsumers) -> None:
        """Serve these consumers no more, and stop what serves no others."""
        with self._lock:
            idle = self.scheduler.remove(consumers)
            for place, fetcher in list(self._fetchers.items()):
                if fetcher.place in idle:
                    self._fetchers.pop(place).stop()

    def kept(self) -> Iterator[tuple[Lease, Iterable[str]]]:
        """Return the messages that are ready."""
        for _, lease, message_id in self.inbox.ready():
            yield lease, (message_id,)

    def forget(self, lease: Lease, message_ids: set[str]) -> None:
        """Count what is ready again: the count of a delivery that was broken off may be missing."""
        for consumers in self.scheduler.served():
            if consumers.queue == lease.queue:
                consumers.delivered = consumers.claimed - sum(one is consumers for one, _, _ in self.inbox.ready())

    def consumed_queues(self) -> list[tuple[Project, str]]:
        """Return (project, queue) of what is consumed."""
        return [(self.claimer.project, consumers.queue) for consumers in self.scheduler.served()]

    def answering_queues(self) -> dict[str, list[str]]:
        """Return the consumed queues by their place, without the places that fail."""
        served = [(name, fetcher.place) for name, fetcher in list(self._fetchers.items()) if name]
        return {name: [one.queue for one in place.consumers] for name, place in served if place.failure is None}

    # The end.

    def stop(self) -> None:
        """End the fetchers, at most JOIN_TIMEOUT each, and close the waker; what is ready is not delivered."""
        self.inbox.stop()
        with self._lock:
            fetchers = list(self._fetchers.values())
            self._fetchers.clear()
            self.scheduler.clear()
        for fetcher in fetchers:
            fetcher.stop()
        for fetcher in fetchers:
            fetcher.join(self.JOIN_TIMEOUT)
        self.inbox.close()
