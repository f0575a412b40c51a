"""A clock for tests of deadlines."""

from __future__ import annotations


class ManualClock:
    """A clock that moves only by :meth:`advance`."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def time(self) -> float:
        """Return the seconds since the epoch, as last set."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.now += seconds
