"""Limits of waits, and promises about time, on a machine that may be slow or loaded.

A wait for what must happen in the end has one generous limit, which no passing test reaches. A promise about time is
kept if the best of a few measurements keeps it: load only ever adds time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Timeout of an event that must happen in the end, in seconds.
LIMIT = 60.0
#: Timeout of a test that waits for many such events, in seconds; pyproject.toml has that of all others.
LONG_TEST = 600.0
_MEASUREMENTS = 5


def best_of(measure: Callable[[], float], bound: float) -> float:
    """Measure until a time is below ``bound``, at most five times; return the shortest time."""
    shortest = measure()
    for _ in range(_MEASUREMENTS - 1):
        if shortest < bound:
            break
        shortest = min(shortest, measure())
    return shortest


def seconds_of(action: Callable[[], object]) -> float:
    """Return how long an action takes, in seconds."""
    begun = time.monotonic()
    action()
    return time.monotonic() - begun
