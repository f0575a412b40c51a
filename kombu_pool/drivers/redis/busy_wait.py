"""Waits awake for an answer that comes in a moment: to fall asleep and to be woken takes longer than many a Redis."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Connection

#: After so many answers in a row that did not come in time, so many are waited for asleep.
_MISSES, _REST = 3, 1000


class Vigil:
    """How long to stay awake, and whether it was worth it lately.

    Over a network, or beside a server that is busy, it is not: then next to nothing is tried. Threads share it without
    a lock; a count that one of them spoils does no harm.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._missed = 0
        self._asleep = 0

    def keep(self, connection: Connection) -> None:
        """Return when the answer is there, or has to be waited for asleep."""
        if not self._seconds:
            return
        if self._asleep > 0:
            self._asleep -= 1
            return
        until = time.perf_counter() + self._seconds
        while not connection.can_read(0):
            if time.perf_counter() > until:
                self._miss()
                return
        self._missed = 0

    def _miss(self) -> None:
        self._missed += 1
        if self._missed >= _MISSES:
            self._missed, self._asleep = 0, _REST
