"""The prefetch window of a channel: how many messages its consumers may hold, all together."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.transport.consume.leases import Lease

#: From this limit on, a quarter of the slots hides the latency of a claim.
_LARGE_WINDOW = 8


class PrefetchWindow:
    """The slots of a channel, and what Kombu and Celery find as ``channel.qos``.

    A message holds a slot from its claim until the store knows that it is settled. So what a killed consumer gives back
    never exceeds the limit, however many acknowledgements were unsent.
    """

    def __init__(self, read_ahead: int, wake: Callable[[PrefetchWindow], None]) -> None:
        self.prefetch_count = 0
        self.read_ahead = read_ahead
        self.leases: set[Lease] = set()
        #: The slots that are reserved for each claim in progress, and the monotonic time when it began.
        self.reserved: dict[object, tuple[int, float]] = {}
        self.paused = False
        #: Returns how many messages more the consumers can start on at once; None: as many as there are slots.
        self.demand: Callable[[], int] | None = None
        #: Whether consumers wait for a slot: the next one that is worth a claim wakes them.
        self.is_awaited = False
        #: The free slots that are not worth a claim yet.
        self.unclaimed = 0
        #: Whether the last claim filled the window and no slot is free since.
        self.is_full = False
        #: Monotonic time when a slot of the full window became free.
        self.opened_at = -math.inf
        self._wake = wake

    @property
    def limit(self) -> int:
        """Return the number of slots."""
        return self.prefetch_count or self.read_ahead

    def outstanding(self) -> int:
        """Return how many messages are claimed and not settled, as far as the store has confirmed."""
        return sum(lease.unsettled for lease in list(self.leases))

    def held(self) -> int:
        """Return how many messages are claimed and not settled by their consumers, whatever the store knows."""
        return sum(lease.held() for lease in list(self.leases))

    def can_consume(self) -> bool:
        """Return whether another message may be delivered. Celery replaces this method to stop prefetching."""
        return not self.prefetch_count or self.held() < self.prefetch_count

    def check_full(self) -> None:
        """Take note of whether a claim has just filled the window."""
        if self.prefetch_count and self.held() >= self.prefetch_count:
            self.is_full = True
            if self.held() < self.prefetch_count:  # another thread acknowledged in between
                self.reopen()

    def reopen(self) -> None:
        """Take note that the window, if it was full, has a free slot from now on."""
        if self.is_full:
            self.opened_at = time.monotonic()
            self.is_full = False

    def is_worth_a_claim(self, slots: int) -> bool:
        """Return whether so many slots are: half of the window, or three quarters of a large one.

        A claim of one message costs as much as a claim of many.
        """
        return slots * 4 >= self.limit * (3 if self.limit >= _LARGE_WINDOW else 2)

    def delivered(self, ready: int) -> None:
        """Wake consumers without a limit once half of the messages read ahead is delivered; ``ready`` are left."""
        if ready * 2 <= self.read_ahead:
            self.wake()

    def acknowledged(self) -> None:
        """Count an acknowledgement, and wake the waiting consumers once the free slots are worth a claim."""
        self.unclaimed += 1
        if self.is_worth_a_claim(self.unclaimed):
            self.wake()

    def settled(self, lease: Lease) -> None:
        """Free the slots of a lease's messages that the store knows to be settled."""
        if lease.unsettled <= 0:
            self.leases.discard(lease)
        if self.is_full:
            self.reopen()
        if self.is_awaited:
            self.wake()

    def wake(self) -> None:
        """Have the consumers that wait for a slot look again."""
        # Consumers that begin to wait after this line set it again.
        self.is_awaited = False
        self._wake(self)
