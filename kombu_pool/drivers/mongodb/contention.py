"""How far from each other those choose that take messages from one queue at the same time.

Who finds that others were quicker looks the next time not at the first messages, but at one of several windows of them,
each as wide as what is wanted: the more often they meet, the more windows. So a claim in a crowd takes as many round
trips as one alone, mostly. Nobody is told of the others; each guesses for itself.
"""

from __future__ import annotations

import random
import time
from typing import Final

#: How many windows there are at the most, and seconds after which who met nobody takes it that he is alone.
_MOST: Final = 32
_ALONE: Final = 0.5
#: How the number grows with each time that others were quicker, and how it falls with each time that none were. Of
#: eight processes that claim and acknowledge ten at a time, about one claim in four meets another, as measured.
_MORE: Final = 2.0
_LESS: Final = 0.9


class Contention:
    """Those that take from a queue, as one process knows them. Only a guess, so it needs no lock."""

    def __init__(self) -> None:
        self._windows = 1.0
        self._met_at = float("-inf")

    @property
    def is_there(self) -> bool:
        """Whether others were quicker lately."""
        return self._windows > 1 and time.monotonic() < self._met_at + _ALONE

    def note(self, *, met: bool) -> None:
        """Note whether others were quicker."""
        if met:
            self._windows = min(_MOST, _MORE * self._windows) if self.is_there else _MORE
            self._met_at = time.monotonic()
        else:
            self._windows = max(1.0, _LESS * self._windows)

    def window(self) -> int:
        """Return the number of the window to look at: 0 is where the line begins."""
        return random.randrange(int(self._windows)) if self.is_there else 0  # noqa: S311 - no secret

    def ends_at(self, window: int) -> None:
        """Note that a window was not full."""
        self._windows = min(self._windows, float(window))
