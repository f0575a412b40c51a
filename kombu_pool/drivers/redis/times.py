"""Whose time a script goes by: Redis' own, which all processes agree on, unless a test brings a clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.clock import SystemClock

if TYPE_CHECKING:
    from kombu_pool.clock import Clock


def now_argument(clock: Clock) -> str | float:
    """Return a script's argument ``now``: seconds since the epoch, or "" for the time of Redis."""
    return "" if isinstance(clock, SystemClock) else clock.time()
