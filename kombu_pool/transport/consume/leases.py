"""Keeps what this process claimed its own for as long as it lives: one thread renews all claims and holders.

The thread owes nothing to the event loop, which a task may block for hours. A claim that was not renewed in time is
*lost*: what it lent may be somebody else's now, so it is neither handed out nor acknowledged any more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from kombu_pool.errors import DoesNotExist, KombuPoolError, PoolUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.model import ClaimMetadata, Project
    from kombu_pool.storage import ClaimController, ConsumersController
    from kombu_pool.transport.consume.prefetch import Credit

logger = logging.getLogger(__name__)


class Lease:
    """One claim of ours: which messages are still owed, and until when they are surely ours."""

    __slots__ = (
        "acked",
        "claim_id",
        "credit",
        "in_doubt",
        "is_dirty",
        "left",
        "project",
        "queue",
        "telling",
        "valid_until",
    )

    def __init__(
        self, queue: str, project: Project, claim_id: str, left: int, valid_until: float, credit: Credit | None
    ) -> None:
        self.queue = queue
        self.project = project
        self.claim_id = claim_id
        #: How many of its messages the store has not been told of.
        self.left = left
        #: Of how many of these it is being told.
        self.telling = 0
        #: Whose prefetch limit they count against.
        self.credit = credit
        #: The messages of which the store is still to be told that they are done, and whether somebody will.
        self.acked: deque[str] = deque()
        self.is_dirty = False
        #: Whether the store may have heard of some of them without our hearing of that.
        self.in_doubt = False
        #: Monotonic; its messages are ours without a doubt before it, and somebody else's perhaps after it.
        self.valid_until = valid_until


class Renewal:
    """Renews leases and holders at a third of their ttl, from a daemon thread that starts with the first of them."""

    RETRY = 1.0

    def __init__(
        self,
        claims: ClaimController,
        consumers: ConsumersController,
        metadata: ClaimMetadata,
        pool_of: Callable[[str, Project], str | None],
    ) -> None:
        self.metadata = metadata
        self._pool_of = pool_of
        self._claims = claims
        self._consumers = consumers
        self._leases: set[Lease] = set()
        self._holders: set[str] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def lease(
        self, queue: str, project: Project, claim_id: str, count: int, claimed_at: float, credit: Credit | None
    ) -> Lease:
        """Keep a claim of ``count`` messages, made at the monotonic time ``claimed_at`` or later, alive."""
        lease = Lease(queue, project, claim_id, count, claimed_at + self.metadata["ttl"], credit)
        if credit is not None:
            credit.leases.add(lease)
        with self._lock:
            self._leases.add(lease)
            self._start()
        return lease

    def telling(self, lease: Lease, count: int) -> None:
        """Hear that the store is being told of ``count`` messages more, or fewer, of a lease: it may end any moment."""
        with self._lock:
            lease.telling += count

    def settled(self, lease: Lease, count: int) -> None:
        """Count ``count`` messages of which the store was told as dealt with; the lease is let go with the last."""
        with self._lock:
            lease.telling -= count
            lease.left -= count
            if lease.left <= 0:
                self._leases.discard(lease)
        if lease.credit is not None:
            lease.credit.settled(lease)

    def keep_alive(self, holder: str) -> None:
        """Keep a holder alive."""
        with self._lock:
            self._holders.add(holder)
            self._start()

    def stop_renewing(self, holder: str) -> None:
        """Stop keeping a holder alive."""
        with self._lock:
            self._holders.discard(holder)

    def close(self) -> None:
        """Stop renewing."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._leases.clear()
            self._holders.clear()
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5.0)

    def _start(self) -> None:
        if self._thread is None:
            self._wake.clear()
            self._thread = threading.Thread(target=self._run, name="kombu_pool-renewal", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        period = self.metadata["ttl"] / 3
        pause = period
        while not self._wake.wait(pause):
            pause = period if self.renew() else min(self.RETRY, period)

    def renew(self) -> bool:
        """Renew everything once; return whether all that lives could be renewed."""
        with self._lock:
            leases, holders = list(self._leases), list(self._holders)
        down: set[str] = set()
        done = [self._renew_lease(lease, down) for lease in leases]
        return self._renew_holders(holders) and all(done)

    def _renew_lease(self, lease: Lease, down: set[str]) -> bool:
        """Renew one; ``down`` gathers the pools that did not answer, each of which is waited for once."""
        if down and self._is_in(down, lease):
            return False
        begun = time.monotonic()
        try:
            self._claims.update(lease.queue, lease.claim_id, self.metadata, lease.project)
        except DoesNotExist:
            self._lose(lease)
        except KombuPoolError as error:
            if isinstance(error, PoolUnavailable):
                down.add(error.pool)
            logger.warning(
                "The claim on %d message(s) of queue %r is not renewed yet: %s", lease.left, lease.queue, error
            )
            return False
        else:
            lease.valid_until = begun + self.metadata["ttl"]
        return True

    def _is_in(self, pools: set[str], lease: Lease) -> bool:
        try:
            return self._pool_of(lease.queue, lease.project) in pools
        except KombuPoolError:
            return False

    def _lose(self, lease: Lease) -> None:
        with self._lock:
            lost = lease.left - lease.telling - len(lease.acked)
            if lost <= 0 or lease not in self._leases:
                # Either its acknowledgements have ended it or they will be refused: whoever sends them hears which.
                return
            lease.valid_until = 0.0
        logger.warning(
            "The claim on %d message(s) of queue %r ended before it was renewed: they may run elsewhere now",
            lost,
            lease.queue,
        )
        self.settled(lease, lease.left)

    def _renew_holders(self, holders: list[str]) -> bool:
        if not holders:
            return True
        try:
            self._consumers.renew(holders, self.metadata["ttl"])
        except KombuPoolError as error:
            logger.warning("The consumers of this process are not renewed yet: %s", error)
            return False
        return True
