"""The time source: every deadline in a store is read from one of these, so that a test can move it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def time(self) -> float:
        """The seconds since the epoch, which every process that shares a store agrees on."""
        ...


class SystemClock:
    """The machine's own clock."""

    time = staticmethod(time.time)


class ManualClock:
    """A clock that stands still until it is told to go: for tests of deadlines."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def time(self) -> float:
        """The time that was set."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.now += seconds


SYSTEM_CLOCK = SystemClock()
