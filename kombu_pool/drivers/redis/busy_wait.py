"""Busy-waiting for the reply of a near server, which arrives sooner than a sleeping thread would wake."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis

#: Late replies in a row after which busy-waiting is suspended, and the number of replies for which it then is.
_MAX_LATE, _SUSPENDED_REPLIES = 3, 1000


class BusyWait:
    """Polls a connection for at most ``seconds``, and pauses while that is in vain.

    It is in vain over a network or on a busy machine. Threads share it without a lock: a lost count does no harm.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._late = 0
        self._suspended = 0

    def wait(self, raw: redis.Connection) -> None:
        """Return when the reply has arrived, or when the caller must block for it."""
        if not self._seconds:
            return
        if self._suspended > 0:
            self._suspended -= 1
            return
        until = time.perf_counter() + self._seconds
        while not raw.can_read(0):
            if time.perf_counter() > until:
                self._count_late()
                return
        self._late = 0

    def _count_late(self) -> None:
        self._late += 1
        if self._late >= _MAX_LATE:
            self._late, self._suspended = 0, _SUSPENDED_REPLIES
