"""Claims messages from one pool for the consumers of one connection, in a daemon thread.

It claims as many messages as the prefetch windows allow and hands each batch to the connection. It waits in the store's
watch while the queues are empty, and for a free slot while the windows are full.
"""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from kombu_pool import errors
from kombu_pool.transport.threads import Flag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kombu_pool.storage import Watch
    from kombu_pool.transport.consume.claiming import Claimer
    from kombu_pool.transport.consume.prefetch import PrefetchWindow, QueueConsumers

logger = logging.getLogger(__name__)

#: Numbers the successful claims of all fetchers: consumers that share a window are served in turn.
_serial = itertools.count(1)


class Fetcher:
    """Serves the consumers of one connection from one pool; ``pool`` None: their queues have none yet.

    ``report`` tells the connection of a failure; ``migrate_mapped`` moves consumers whose queues have a pool by now.
    """

    #: How long free slots are gathered before a claim of fewer than half of the window, in seconds.
    LINGER = 0.005
    #: How long an empty queue is not claimed from unless its store reports a message, in seconds.
    EMPTY_TTL = 0.1
    #: The longest wait, in seconds: a message without a wake-up is found after it.
    MAX_WAIT = 5.0
    #: How long a non-blocking ``drain_events`` waits for the fetcher's lock, in seconds.
    INLINE_LOCK_TIMEOUT = 0.5
    #: Period of the search for the pool of queues that have none, in seconds.
    UNMAPPED_PERIOD = 1.0
    #: The most watches kept, each of a set of queues that were empty at one time.
    MAX_WATCHES = 8
    #: The first and the longest pause after a failure, in seconds. The return of a pool is noticed within 2 s.
    FIRST_BACKOFF, LAST_BACKOFF = 0.1, 1.0

    def __init__(
        self,
        pool: str | None,
        claimer: Claimer,
        report: Callable[[errors.ConnectionError], None],
        migrate_mapped: Callable[[Fetcher], None],
    ) -> None:
        self.pool = pool
        self.failure: errors.ConnectionError | None = None
        self.served: tuple[QueueConsumers, ...] = ()
        self._claimer = claimer
        self._report = report
        self._migrate_mapped = migrate_mapped
        self._slots_free = Flag()
        self._watches: dict[frozenset[str], Watch] = {}
        self._watching: Watch | None = None
        self._stopped = False
        #: The next pause, in seconds; grows with each failure since the pool last answered.
        self._backoff = self.FIRST_BACKOFF
        #: Whether this fetcher logged the failure, and so logs its end.
        self._has_warned = False
        self._lock = threading.Lock()
        #: Held by the thread that claims, which may be the one that drains events.
        self._claim_lock = threading.RLock()
        #: The empty queues that the thread waits for, or is about to.
        self._awaited: frozenset[str] = frozenset()
        #: The next wait, in seconds: shorter while consumers wait for slots that are reserved for others.
        self._wait_limit = self.MAX_WAIT
        self._thread = threading.Thread(target=self._run, name=f"kombu_pool-fetcher-{pool}", daemon=True)

    def add(self, consumers: QueueConsumers) -> None:
        """Serve these consumers too."""
        with self._lock:
            self.served = (*self.served, consumers)
        if not self._thread.is_alive():
            self._thread.start()
        self.wake()

    def remove(self, consumers: QueueConsumers) -> None:
        """Serve these consumers no more."""
        with self._lock:
            self.served = tuple(other for other in self.served if other is not consumers)

    def wake(self) -> None:
        """End the wait: slots are free, or the consumers have changed."""
        self._slots_free.set()
        watching = self._watching
        if watching is not None:
            watching.interrupt()

    def claim_inline(self, *, blocking: bool) -> None:
        """Claim in the calling thread, which has nothing else to do; that saves a thread switch a batch.

        A ``blocking`` caller does nothing while the fetcher's own thread waits for all queues already.
        """
        waits = self._watching is not None
        if self.failure is not None or (blocking and waits and not self._misses_any(self.served)):
            return
        # A non-blocking caller also needs the messages that the other thread is about to bring.
        try:
            if not self._claim_lock.acquire(timeout=0 if blocking else self.INLINE_LOCK_TIMEOUT):
                return
            if not (blocking and waits):
                self._forget_empty()
            must_wake = self._misses_any(self._claim_each(linger=False) or ())
        except errors.KombuPoolError:
            # The fetcher's own thread meets the error too, reports it and retries.
            must_wake = True
        finally:
            # A signal handler may have raised just after the lock was acquired: only the lock knows.
            try:  # noqa: SIM105 - suppress() is Python: another place where it may raise
                self._claim_lock.release()
            except RuntimeError:
                pass
        if must_wake:
            self.wake()

    def _misses_any(self, served: Iterable[QueueConsumers]) -> bool:
        """Return whether the fetcher's own thread does not wait for one of these queues."""
        return any(consumers.queue not in self._awaited for consumers in served)

    def stop(self) -> None:
        """Tell the thread to end; :meth:`join` waits for it."""
        self._stopped = True
        self.wake()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while not self._stopped:
                try:
                    self._round()
                except errors.ConnectionError as failure:
                    self._fail_and_pause(failure)
                except Exception as failure:  # noqa: BLE001 - logged by _log_failure()
                    # A full store, a missing path, a defect here: consumers must reconnect, not die.
                    reason = f"claiming failed: {str(failure) or type(failure).__name__}"
                    self._fail_and_pause(errors.PoolUnavailable(self.pool, reason), failure)
                else:
                    self.failure = None
        finally:
            self._close_watches()

    def _round(self) -> None:
        """Claim for all consumers with free slots, or wait until a claim may succeed again."""
        self._slots_free.clear()
        empty = self._locked_claim_each(linger=True)
        if empty is None:
            return
        if any(consumers.window.should_linger() for consumers in self.served if consumers not in empty):
            self._slots_free.wait(self.LINGER)
            empty = self._locked_claim_each(linger=False)
            if empty is None:
                return
        if not empty:
            self._slots_free.wait(self._wait_limit)
        elif self.pool is None:
            self._slots_free.wait(self.UNMAPPED_PERIOD)
            self._migrate_mapped(self)
        elif len(empty) == len(self.served) or not self._slots_free.wait(self.EMPTY_TTL):
            # Full windows may have slots in a moment: entering the store's watch would cost more than this wait.
            self._watch(self._awaited)

    def _locked_claim_each(self, *, linger: bool) -> list[QueueConsumers] | None:
        with self._claim_lock:
            empty = self._claim_each(linger=linger)
            self._awaited = frozenset(consumers.queue for consumers in empty or ())
        return empty

    def _claim_each(self, *, linger: bool) -> list[QueueConsumers] | None:
        """Claim once for each; return those with free slots and an empty queue, or None when messages came.

        Those served last come last, so that slots are shared. Before them come those with acknowledgements to send,
        which would otherwise wait while other queues are found empty.
        """
        in_order = sorted((one for one in self.served if not one.is_over), key=lambda consumers: consumers.last_served)
        freed = self._flush_but_first(in_order)
        empty = []
        came = False
        self._wait_limit = self.MAX_WAIT
        for consumers in sorted(in_order, key=lambda consumers: not freed.get(consumers)):
            count = self._claim_for(consumers, freed.get(consumers, 0), linger=linger)
            if count:
                came = True
                consumers.last_served = next(_serial)
            elif count is not None:
                empty.append(consumers)
        return None if came else empty

    def _flush_but_first(self, in_order: Sequence[QueueConsumers]) -> dict[QueueConsumers, int]:
        """Return how many slots the next claim frees, for those that claim first in each window.

        The acknowledgements of the others are sent now: a slot that one waits for is another's.
        """
        now = time.monotonic()
        first: dict[PrefetchWindow, QueueConsumers] = {}
        for consumers in in_order:
            if now >= consumers.empty_until:
                first.setdefault(consumers.window, consumers)
        for consumers in in_order:
            if consumers is not first.get(consumers.window) and self._claimer.freed_by_ack(consumers):
                with suppress(errors.KombuPoolError):  # The settlement thread sends them again.
                    self._claimer.flush_acks(consumers)
        return {consumers: self._claimer.freed_by_ack(consumers) for consumers in first.values()}

    def _claim_for(self, consumers: QueueConsumers, freed_by_ack: int, *, linger: bool) -> int | None:
        """Claim for the consumers of a queue; return how many messages came, None if they have no free slot."""
        if consumers.single_active is not None and not consumers.single_active.is_active():
            self._wait_limit = min(self._wait_limit, consumers.single_active.POLL_INTERVAL)
            return None
        window = consumers.window
        slots = window.claimable(consumers, linger=linger, freed_by_ack=freed_by_ack)
        now = time.monotonic()
        if slots <= 0:
            return None
        if now < consumers.empty_until:
            return 0
        if window.is_behind(consumers, slots, freed_by_ack):
            self._yield_slots(consumers)
            return None
        slots = window.reserve(consumers, slots, freed_by_ack)
        if slots <= 0:
            # Another pool may be about to use them, or may hang.
            self._wait_limit = min(self._wait_limit, window.YIELD_TTL)
            return None
        try:
            count = self._claim_reserved(consumers, slots, freed_by_ack, linger=linger)
        finally:
            window.unreserve(consumers)
        if count == 0:
            consumers.empty_until = now + self.EMPTY_TTL
        return count

    def _yield_slots(self, consumers: QueueConsumers) -> None:
        """Free the slots of acknowledged messages for consumers that were served earlier, perhaps of another pool."""
        window = consumers.window
        self._wait_limit = min(self._wait_limit, window.YIELD_TTL)
        try:
            self._claimer.flush_acks(consumers)
        finally:
            window.yield_slots(consumers)

    def _claim_reserved(self, consumers: QueueConsumers, slots: int, freed_by_ack: int, *, linger: bool) -> int | None:
        """Claim for reserved slots; return how many messages came, None if no slot was free yet."""
        count = self._claimer.claim(consumers, slots, freed_by_ack)
        if count is None:
            # Another request carries the acknowledgements: claim for what is free without them.
            window = consumers.window
            slots = window.reserve(consumers, window.claimable(consumers, linger=linger))
            count = self._claimer.claim(consumers, slots) if slots > 0 else None
        self._recover()
        return count

    def _forget_empty(self) -> None:
        """Forget which queues are empty. Under the claim lock: the thread that claims may be about to record one."""
        for consumers in self.served:
            consumers.empty_until = 0.0

    def _watch(self, queues: frozenset[str]) -> None:
        watch = self._watches.get(queues)
        if watch is None:
            # A new watch reports nothing that came before: claim once more, then wait.
            if len(self._watches) >= self.MAX_WATCHES:
                self._close_watches()
            self._watches[queues] = self._claimer.watch(queues)
        elif not self._wait(watch):
            return
        with self._claim_lock:
            self._forget_empty()

    def _wait(self, watch: Watch) -> bool:
        self._watching = watch
        try:
            # A slot that became free before this line found no watch to interrupt.
            return not self._slots_free.is_set() and watch.wait(self._wait_limit)
        finally:
            self._watching = None

    def _close_watches(self) -> None:
        watches, self._watches = self._watches, {}
        for watch in watches.values():
            watch.close()

    def _fail_and_pause(self, failure: errors.ConnectionError, unexpected: Exception | None = None) -> None:
        if self._stopped:
            return
        self._close_watches()
        self._log_failure(failure, unexpected)
        self.failure = failure
        self._report(failure)
        pause, self._backoff = self._backoff, min(self._backoff * 2, self.LAST_BACKOFF)
        self._pause(pause)

    def _log_failure(self, failure: errors.ConnectionError, unexpected: Exception | None) -> None:
        """Log once what is no outage of a pool, which pooling logs: an outage of the control store, or a defect."""
        is_known = unexpected is None and isinstance(failure, (errors.PoolUnavailable, errors.StoreLost))
        if is_known or self._has_warned:
            logger.debug("Claiming from pool %r failed: %s", self.pool, failure)
        elif unexpected is None:
            self._has_warned = True
            logger.warning("The control store is unreachable (%s)", failure)
        else:
            self._has_warned = True
            # A full store, a missing permission, a cluster that is down: only a defect needs its traceback.
            defect = None if isinstance(unexpected, errors.KombuPoolError) else unexpected
            logger.error("Claiming from pool %r failed; retrying: %s", self.pool, unexpected, exc_info=defect)

    def _pause(self, seconds: float) -> None:
        # Jitter: the fetchers of all processes meet an outage at the same moment.
        until = time.monotonic() + seconds * random.uniform(0.75, 1.25)  # noqa: S311 - nothing secret
        while not self._stopped and (left := until - time.monotonic()) > 0:
            self._slots_free.clear()
            self._slots_free.wait(left)

    def _recover(self) -> None:
        """End the pauses: the pool answered a claim. A round without free slots proves nothing."""
        self._backoff = self.FIRST_BACKOFF
        if self._has_warned:
            self._has_warned = False
            logger.warning("Claiming from pool %r works again", self.pool)
