"""Renews the claims and the holders of this process, for as long as it lives, from one daemon thread.

The thread does not depend on the event loop, which a task may block for hours. A claim that was not renewed in time is
*lost*: another process may hold its messages, so they are neither delivered nor acknowledged any more.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from kombu_pool.clock import SYSTEM_CLOCK
from kombu_pool.errors import KombuPoolError, PoolUnavailable
from kombu_pool.transport import processes, threads
from kombu_pool.transport.threads import Flag

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.model import ClaimMetadata
    from kombu_pool.pooling import DataDriver
    from kombu_pool.storage import ConsumersController
    from kombu_pool.transport.consume.leases import Lease

logger = logging.getLogger(__name__)

#: What holds the names of all processes that hold something: no queue has this name.
PROCESSES = "kombu_pool.processes"


class Renewal:
    """Renews leases and holders at a third of their ttl, from a daemon thread that starts with the first of them."""

    #: Pause after a failed renewal, in seconds.
    RETRY = 1.0
    #: Shortest pause between two rounds, as a share of the period.
    LEAST_PAUSE = 0.1

    def __init__(self, data: DataDriver, consumers: ConsumersController, metadata: ClaimMetadata) -> None:
        self.metadata = metadata
        self._place_of = data.catalog.place_of
        self._claims = data.claim_controller
        self._consumers = consumers
        self._leases: set[Lease] = set()
        self._holders: dict[str, Callable[[], None] | None] = {}
        #: The name under which this process is found while it renews, and whether it is registered.
        self._name, self._is_registered = processes.new_registration_id(), False
        #: The places of :meth:`Catalog.place_of` whose last renewal failed, and PROCESSES for the control store.
        self._failing: set[str | None] = set()
        self._lock = threading.Lock()
        self._wake = Flag()
        self._thread: threading.Thread | None = None

    def add(self, lease: Lease) -> None:
        """Renew a lease from now on, until it is settled or lost."""
        with self._lock:
            self._leases.add(lease)
            self._start()

    def leases(self) -> list[Lease]:
        """Return the leases that are renewed."""
        with self._lock:
            return list(self._leases)

    def settled(self, lease: Lease) -> None:
        """Renew a lease no more if nothing of it is unsettled."""
        if not lease.unsettled:
            with self._lock:
                self._leases.discard(lease)

    def keep_alive(self, holder: str, on_gone: Callable[[], None] | None = None) -> None:
        """Renew a holder from now on; call ``on_gone`` once if it holds no queue any more."""
        with self._lock:
            self._holders[holder] = on_gone
            self._start()

    def stop_renewing(self, holder: str) -> None:
        """Renew a holder no more."""
        with self._lock:
            self._holders.pop(holder, None)

    def close(self) -> None:
        """Stop the thread; nothing is renewed any more."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._leases.clear()
            self._holders.clear()
        self._wake.set()
        threads.join(thread, timeout=5.0)
        processes.retire(self._name)
        if self._is_registered:
            self._is_registered = False
            with suppress(KombuPoolError):
                self._consumers.remove_holders([self._name])

    def _start(self) -> None:
        if self._thread is None:
            self._wake.clear()
            self._thread = threads.started(self._run, "renewal")

    def _run(self) -> None:
        period = self.metadata["ttl"] / 3
        pause = period if self._register() else min(self.RETRY, period)
        while not self._wake.wait(pause):
            begun = SYSTEM_CLOCK.elapsed()
            pause = period if self.renew() else min(self.RETRY, period)
            # What is unreachable takes its timeout in each round, which must not make the next round later.
            pause = max(pause - (SYSTEM_CLOCK.elapsed() - begun), period * self.LEAST_PAUSE)

    def _register(self) -> bool:
        """Register this process among the holders of the control store, unless it is; return whether it is."""
        if not self._is_registered:
            try:
                self._consumers.add_holder(PROCESSES, self._name, self.metadata["ttl"], consuming=False)
            except KombuPoolError as error:
                logger.info("This process is not registered yet: %s", error)
            else:
                self._is_registered = True
        return self._is_registered

    def renew(self) -> bool:
        """Renew everything once, with one request a store or part of one; return whether all of it was renewed.

        What failed the last time comes last: the rest must not wait for its timeout.
        """
        with self._lock:
            holders = list(self._holders)
        places = self._by_place(self.leases())
        failing = self._failing.intersection(places)
        done = [self._renew_leases(place, there) for place, there in places.items() if place not in failing]
        done.append(self._renew_holders(holders))
        done += [self._renew_leases(place, places[place]) for place in failing]
        return all(done)

    def _by_place(self, leases: list[Lease]) -> dict[str | None, list[Lease]]:
        places: dict[str | None, list[Lease]] = {}
        for lease in leases:
            try:
                place = self._place_of(lease.queue, lease.project)
            except KombuPoolError:
                place = None
            places.setdefault(place, []).append(lease)
        return places

    def _renew_leases(self, place: str | None, leases: list[Lease]) -> bool:
        """Renew the leases of a pool, or of a part of it."""
        begun = SYSTEM_CLOCK.elapsed()
        claims = {(lease.project, lease.queue, lease.claim_id): lease for lease in leases}
        try:
            ended = self._claims.renew([*claims], self.metadata)
        except KombuPoolError as error:
            logger.log(
                logging.INFO if place in self._failing or isinstance(error, PoolUnavailable) else logging.WARNING,
                "The claim on %d message(s) is not renewed yet: %s",
                sum(lease.unsettled for lease in leases),
                error,
            )
            self._failing.add(place)
            return False
        self._failing.discard(place)
        lost = [claims.pop(claim) for claim in ended]
        for lease in claims.values():
            lease.valid_until = begun + self.metadata["ttl"]
        for lease in lost:
            self._lose(lease)
        return True

    @staticmethod
    def _lose(lease: Lease) -> None:
        lost = lease.lose()
        if lost:
            logger.warning(
                "The claim on %d message(s) of queue %r ended before it was renewed: another worker may run them now",
                lost,
                lease.queue,
            )

    def _renew_holders(self, holders: list[str]) -> bool:
        """Renew holders, and the registration of this process."""
        try:
            gone = self._consumers.renew([*holders, self._name], self.metadata["ttl"])
        except KombuPoolError as error:
            level = logging.INFO if PROCESSES in self._failing else logging.WARNING
            logger.log(level, "The consumers of this process are not renewed yet: %s", error)
            self._failing.add(PROCESSES)
            return False
        self._failing.discard(PROCESSES)
        for holder in gone:
            with self._lock:
                on_gone = self._holders.pop(holder, None)
            if on_gone is not None:
                on_gone()
        self._is_registered = self._name not in gone
        return self._register()
