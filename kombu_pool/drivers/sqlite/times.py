"""The two time lines of a store: that of the wall clock, and that of the seconds that pass.

Messages, delays and subscriptions end by the wall clock. Claims, reservations, holders and the lifetimes of queues end
by the seconds that pass, which no one sets, so that a step of the wall clock ends none of the living.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from kombu_pool.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.clock import Clock


class Now(NamedTuple):
    """A moment on both time lines: the present of one call, or the next deadline of each line."""

    wall: float
    elapsed: float

    def until(self, deadline: Now) -> float:
        """Return the seconds until the first of two deadlines, one of each line."""
        return min(deadline.wall - self.wall, deadline.elapsed - self.elapsed)


NEVER = Now(math.inf, math.inf)


class StoreClock:
    """The clock of the processes that share a store.

    Where the id of the boot is unknown, a restart of the machine cannot be told from the seconds that pass: then the
    wall clock is both lines.
    """

    def __init__(self, clock: Clock) -> None:
        self.boot = clock.boot_id()
        self.time: Callable[[], float] = clock.time
        self.elapsed: Callable[[], float] = clock.elapsed if self.boot else clock.time
        self.is_system = isinstance(clock, SystemClock)

    def now(self) -> Now:
        """Return the present."""
        return Now(self.time(), self.elapsed())
