"""The time sources of every deadline; a test can replace them."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol

#: Difference in seconds between two steps of two clocks that the system may cause by itself, by slewing one.
_SLEW = 1.0


class Clock(Protocol):
    """The present time, and the time that passes."""

    def time(self) -> float:
        """Return the seconds since the Unix epoch; all processes that share a store must agree on them."""
        ...

    def elapsed(self) -> float:
        """Return seconds that no one sets, and that go on while the machine is suspended."""
        ...

    def boot_id(self) -> str:
        """Return the id of this boot of the machine; "" where it is unknown.

        All processes of one boot whose id is known agree on :meth:`elapsed`.
        """
        ...


class SystemClock:
    """The clock of the machine."""

    def __init__(self) -> None:
        self._clock = _clock_that_counts_suspension()
        self._offset = 0.0
        self._difference = time.time() - time.monotonic()

    time = staticmethod(time.time)

    def elapsed(self) -> float:
        """Return the seconds that have passed since some moment, suspended ones too.

        Where no clock of the system counts those, a step of the wall clock forwards beside the monotonic one does.
        """
        if self._clock is not None:
            return time.clock_gettime(self._clock)
        now = time.monotonic()
        difference = time.time() - now
        if difference - self._difference > _SLEW:
            self._offset += difference - self._difference
        self._difference = difference
        return now + self._offset

    def boot_id(self) -> str:
        """Return Linux's id of this boot, where that is told."""
        return _boot_id() if self._clock is not None else ""


def _clock_that_counts_suspension() -> int | None:
    if sys.platform == "darwin":
        return time.CLOCK_MONOTONIC
    return getattr(time, "CLOCK_BOOTTIME", None)


@cache
def _boot_id() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


SYSTEM_CLOCK = SystemClock()
