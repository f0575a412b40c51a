"""A clock for tests of deadlines."""

from __future__ import annotations


class ManualClock:
    """A clock that moves only when it is told to; ``boot`` is the id of the boot of its machine."""

    def __init__(self, now: float = 1_700_000_000.0, *, boot: str = "boot") -> None:
        self.now = now
        self.passed = 1000.0
        self.boot = boot

    def time(self) -> float:
        """Return the seconds since the epoch, as last set."""
        return self.now

    def elapsed(self) -> float:
        """Return the seconds that have passed."""
        return self.passed

    def boot_id(self) -> str:
        """Return the id of this boot."""
        return self.boot

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.passed += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or, with less than 0, back; no time passes."""
        self.now += seconds

    def restart(self, boot: str, seconds: float = 0.0) -> None:
        """Start the machine again after some seconds: another boot, whose time begins again."""
        self.now += seconds
        self.passed = 10.0
        self.boot = boot
