"""How processes that claim from one queue at the same time avoid the same messages.

A process that finds its messages claimed by another does not scan the first free messages the next time, but one of
several windows of them, each as wide as its claim. More collisions make more windows. So a claim under contention
mostly takes as many round trips as one without. Processes do not communicate; each estimates the contention itself.
"""

from __future__ import annotations

import random
import time
from typing import Final

#: Bound of the number of windows, and the time without a collision after which there is one, in seconds.
_MAX_WINDOWS: Final = 32
_QUIET_PERIOD: Final = 0.5
#: Factors of the number of windows after a collision, and after a claim without one. With them about one claim in four
#: collides among eight processes that claim and acknowledge ten messages at a time, as measured.
_GROWTH: Final = 2.0
_DECAY: Final = 0.9


class Contention:
    """A process's estimate of the contention for one queue. A wrong one costs only time, so it needs no lock."""

    def __init__(self) -> None:
        self._windows = 1.0
        self._collided_at = float("-inf")

    @property
    def is_present(self) -> bool:
        """Whether claims collided lately."""
        return self._windows > 1 and time.monotonic() < self._collided_at + _QUIET_PERIOD

    def record(self, *, collided: bool) -> None:
        """Record whether a claim collided."""
        if collided:
            self._windows = min(_MAX_WINDOWS, _GROWTH * self._windows) if self.is_present else _GROWTH
            self._collided_at = time.monotonic()
        else:
            self._windows = max(1.0, _DECAY * self._windows)

    def pick_window(self) -> int:
        """Return the number of the window to scan; 0 has the first free messages."""
        return random.randrange(int(self._windows)) if self.is_present else 0  # noqa: S311 - no secret

    def limit_windows(self, window: int) -> None:
        """Record that a window was not full."""
        self._windows = min(self._windows, float(window))
