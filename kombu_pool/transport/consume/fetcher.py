"""Claims messages from one place for the consumers of one connection, in a daemon thread.

The scheduler says for which consumers, and how many. The thread waits in the store's watch while the queues are empty,
and for a free slot while the windows are full.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING

from kombu_pool import errors
from kombu_pool.transport.consume.consumers import Grant
from kombu_pool.transport.threads import Flag

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.storage import Watch
    from kombu_pool.transport.consume.claiming import Claimer
    from kombu_pool.transport.consume.consumers import Place
    from kombu_pool.transport.consume.scheduler import Pause, Scheduler

logger = logging.getLogger(__name__)


class Fetcher:
    """Serves one place.

    ``report`` tells the connection of a failure; ``migrate_mapped`` moves consumers whose queues have a pool by now.
    """

    #: How long free slots are gathered before a claim of fewer than half of the window, in seconds.
    LINGER = 0.005
    #: Period of the search for the pool of queues that have none, in seconds.
    UNMAPPED_PERIOD = 1.0
    #: The most watches kept, each of a set of queues that were empty at one time.
    MAX_WATCHES = 8
    #: The first and the longest pause after a failure, in seconds. The return of a pool is noticed within 2 s.
    FIRST_BACKOFF, LAST_BACKOFF = 0.1, 1.0

    def __init__(
        self,
        place: Place,
        scheduler: Scheduler,
        claimer: Claimer,
        report: Callable[[errors.ConnectionError], None],
        migrate_mapped: Callable[[Fetcher], None],
    ) -> None:
        self.place = place
        self._scheduler = scheduler
        self._claimer = claimer
        self._report = report
        self._migrate_mapped = migrate_mapped
        self._woken = Flag()
        self._watches: dict[frozenset[str], Watch] = {}
        self._watching: Watch | None = None
        self._stopped = False
        #: The next pause, in seconds; grows with each failure since the pool last answered.
        self._backoff = self.FIRST_BACKOFF
        #: Whether this fetcher logged the failure, and so logs its end.
        self._has_warned = False
        self._thread = threading.Thread(target=self._run, name=f"kombu_pool-fetcher-{place.pool}", daemon=True)

    def start(self) -> None:
        """Claim from now on, unless the thread does already."""
        if not self._thread.is_alive():
            self._thread.start()
        self.wake()

    def wake(self) -> None:
        """End the pause: slots are free, or the consumers have changed."""
        self._woken.set()
        watching = self._watching
        if watching is not None:
            watching.interrupt()

    def stop(self) -> None:
        """Tell the thread to end; :meth:`join` waits for it."""
        self._stopped = True
        self.wake()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    # For the thread that drains events, which has nothing else to do: that saves a thread switch a batch.

    def claim_inline(self, *, blocking: bool) -> None:
        """Claim until a message came or the queues are empty.

        A ``blocking`` caller leaves those queues to the thread that are empty or about to be claimed from.
        """
        place = self.place
        if place.failure is not None:
            return
        if not blocking:
            self._scheduler.forget_empty(place)
        try:
            pause = self._claim(leave_few=False, once=True)
            if pause is not None and not pause.empty <= place.watched:
                self.wake()
        except errors.KombuPoolError:
            # The thread meets the error too, reports it and retries.
            self.wake()

    def is_claiming(self) -> bool:
        """Return whether a claim is being made."""
        return any(consumers.grant is not None for consumers in self.place.consumers)

    # The thread.

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
                    self._fail_and_pause(errors.PoolUnavailable(self.place.pool, reason), failure)
                else:
                    self.place.failure = None
        finally:
            self._close_watches()

    def _round(self) -> None:
        """Claim what may be claimed, then wait until something may be claimed again."""
        self._woken.clear()
        pause = self._claim(leave_few=True)
        if pause is not None and pause.lingers:
            self._woken.wait(self.LINGER)
            pause = self._claim(leave_few=False)
        if pause is None or pause.lingers:
            return
        if self.place.pool is None:
            self._woken.wait(self.UNMAPPED_PERIOD)
            self._migrate_mapped(self)
        elif not pause.empty:
            self._woken.wait(pause.limit)
        elif not pause.is_full or not self._woken.wait(min(pause.limit, self._scheduler.EMPTY_TTL)):
            # Full windows may have slots in a moment: entering the store's watch would cost more than this wait.
            self._watch(pause)

    def _claim(self, *, leave_few: bool, once: bool = False) -> Pause | None:
        """Claim as the scheduler says until it says to pause, or with ``once`` until messages came: then None."""
        since = time.monotonic()
        while not self._stopped:
            # With each claim: those of a busy queue may follow one another for hours.
            for consumers in self.place.consumers:
                if consumers.single_active is not None:
                    consumers.single_active.poll()
            grant = self._scheduler.next(self.place, leave_few=leave_few, since=since)
            if not isinstance(grant, Grant):
                return grant
            came = self._use(grant)
            if came and once:
                break
            if came:
                leave_few, since = True, time.monotonic()
        return None

    def _use(self, grant: Grant) -> bool:
        """Claim, or send acknowledgements; return whether messages came."""
        count = None
        try:
            if grant.slots:
                before_put = None if grant.consumers.in_control_queue else self._claim_control
                count = self._claimer.claim(grant.consumers, grant.slots, grant.freed_by_ack, before_put)
            else:
                self._claimer.settlement.send(grant.leases)
            self._recover()
        finally:
            self._scheduler.done(grant, count)
        return bool(count)

    def _claim_control(self) -> None:
        """Claim from the control queues that are due: a broadcast comes before the tasks that were published after it.

        After a wake-up they would be claimed from next, so that costs no request.
        """
        since = time.monotonic()
        while not self._stopped:
            grant = self._scheduler.next(self.place, leave_few=False, only_control=True, since=since)
            if not isinstance(grant, Grant):
                return
            self._use(grant)

    def _watch(self, pause: Pause) -> None:
        watch = self._watches.get(pause.empty)
        if watch is None:
            # A new watch reports nothing that came before: claim once more, then wait.
            if len(self._watches) >= self.MAX_WATCHES:
                self._close_watches()
            watch = self._watches[pause.empty] = self._claimer.watch(pause.empty)
        else:
            self._wait(watch, pause)
        ready = watch.ready
        self._scheduler.woken(self.place, None if ready is None else {queue for _, queue in ready})

    def _wait(self, watch: Watch, pause: Pause) -> None:
        self._scheduler.watching(self.place, pause.empty)
        self._watching = watch
        try:
            # A slot that became free before this line found no watch to interrupt.
            if not self._woken.is_set():
                watch.wait(pause.limit)
        finally:
            self._watching = None

    def _close_watches(self) -> None:
        watches, self._watches = self._watches, {}
        for watch in watches.values():
            watch.close()

    # Failures.

    def _fail_and_pause(self, failure: errors.ConnectionError, unexpected: Exception | None = None) -> None:
        if self._stopped:
            return
        self._close_watches()
        self._log_failure(failure, unexpected)
        self.place.failure = failure
        self._report(failure)
        pause, self._backoff = self._backoff, min(self._backoff * 2, self.LAST_BACKOFF)
        self._pause(pause)

    def _log_failure(self, failure: errors.ConnectionError, unexpected: Exception | None) -> None:
        """Log once what is no outage of a pool, which pooling logs: an outage of the control store, or a defect."""
        is_known = unexpected is None and isinstance(failure, (errors.PoolUnavailable, errors.StoreLost))
        if is_known or self._has_warned:
            logger.debug("Claiming from pool %r failed: %s", self.place.pool, failure)
        elif unexpected is None:
            self._has_warned = True
            logger.warning("The control store is unreachable (%s)", failure)
        else:
            self._has_warned = True
            # A full store, a missing permission, a cluster that is down: only a defect needs its traceback.
            defect = None if isinstance(unexpected, errors.KombuPoolError) else unexpected
            logger.error("Claiming from pool %r failed; retrying: %s", self.place.pool, unexpected, exc_info=defect)

    def _pause(self, seconds: float) -> None:
        # Jitter: the fetchers of all processes meet an outage at the same moment.
        until = time.monotonic() + seconds * random.uniform(0.75, 1.25)  # noqa: S311 - nothing secret
        while not self._stopped and (left := until - time.monotonic()) > 0:
            self._woken.clear()
            self._woken.wait(left)

    def _recover(self) -> None:
        """End the pauses: the pool answered a claim. A round without free slots proves nothing."""
        self._backoff = self.FIRST_BACKOFF
        if self._has_warned:
            self._has_warned = False
            logger.warning("Claiming from pool %r works again", self.place.pool)
