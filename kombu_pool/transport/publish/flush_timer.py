"""Flushes the buffer of a group whose next task is a while in coming."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from kombu_pool.transport.threads import Flag

if TYPE_CHECKING:
    from collections.abc import Callable


class FlushTimer:
    """A daemon thread, or a greenlet where threads are greenlets, that flushes one buffer at a time.

    A group has its own, so that a store that hangs delays no other group. It serves another group afterwards.
    """

    def __init__(self) -> None:
        self._flush: Callable[[], float | None] | None = None
        self._started = Flag()
        threading.Thread(target=self._run, name="kombu_pool-groups", daemon=True).start()

    @classmethod
    def acquire(cls, flush: Callable[[], float | None]) -> FlushTimer:
        """Return a timer for a buffer; :meth:`release` follows.

        ``flush`` flushes the buffer if it is time, and returns the seconds until then; None if nothing is held.

        Raises:
            RuntimeError: no thread can be started.
        """
        try:
            timer = _idle.pop()
        except IndexError:
            timer = cls()
        timer._flush = flush
        return timer

    def release(self) -> None:
        """Make the timer available to other buffers."""
        self._flush = None
        _idle.append(self)

    def start(self) -> None:
        """Flush the buffer when its time has come."""
        self._started.set()

    def _run(self) -> None:
        while True:
            self._started.wait()
            self._started.clear()
            while (flush := self._flush) is not None and (left := flush()) is not None:
                time.sleep(left)
            # An idle timer keeps no buffer, and so no connection, alive.
            flush = None


_idle: deque[FlushTimer] = deque()
# A child process has none of its parent's threads.
os.register_at_fork(after_in_child=_idle.clear)
