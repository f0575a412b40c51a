"""The time source of every deadline in a store; a test can replace it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of the present time."""

    def time(self) -> float:
        """Return the seconds since the Unix epoch; all processes that share a store must agree on them."""
        ...


class SystemClock:
    """The clock of the machine."""

    time = staticmethod(time.time)


SYSTEM_CLOCK = SystemClock()
