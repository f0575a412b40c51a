"""Waits for a lock that another connection holds."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.sqlite.error_mapping import is_busy, translated
from kombu_pool.errors import ConnectionError  # noqa: A004 - Zaqar's name for it

if TYPE_CHECKING:
    from kombu_pool.drivers.sqlite.location import Location
    from kombu_pool.drivers.sqlite.write_permits import WritePermits

# Seconds between two attempts to get the lock. SQLite's own busy handler sleeps up to 100 ms at a time, which starves
# the process that came first.
_FIRST_PAUSE = 0.0001
_LONGEST_PAUSE = 0.002


class BusyRetry:
    """Waits for a lock that another connection holds, up to the busy timeout; other threads may run meanwhile."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._began = time.monotonic()
        self._next_pause = _FIRST_PAUSE

    def wait(self, error: BaseException) -> None:
        """Pause if ``error`` is that the file is locked; raise the mapped error if it is not, or after the timeout."""
        path, limit = self._location.path, self._location.busy_timeout
        if not is_busy(error):
            raise translated(error, path) from error
        if self.is_over():
            raise ConnectionError(f"{path}: locked by another process for {limit:g} s") from error
        self.pause()

    def wait_unlocked(self, lock: Any, error: BaseException | None) -> None:
        """Pause as :meth:`wait`, or before the first attempt, without the lock that the thread holds once."""
        try:
            lock.release()
            if error is None:
                self.pause()
            else:
                self.wait(error)
        finally:
            try:
                _own(lock)
            finally:
                _own(lock)  # a signal handler may have raised while the first call waited

    def is_over(self) -> bool:
        """Return whether the busy timeout has passed."""
        return time.monotonic() - self._began >= self._location.busy_timeout

    def pause(self) -> None:
        """Sleep until the next attempt."""
        time.sleep(self._next_pause * random.uniform(0.5, 1.5))  # noqa: S311 - nothing secret
        self._next_pause = min(self._next_pause * 1.5, _LONGEST_PAUSE)

    def end(self) -> None:
        """Stop waiting: the lock was got, or an error is raised."""


class WriteRetry(BusyRetry):
    """Waits for the lock of the one writer, in turn with the writers of all processes."""

    def __init__(self, location: Location, permits: WritePermits) -> None:
        super().__init__(location)
        self._writer = permits.wait()

    def pause(self) -> None:
        """Sleep until it is this thread's turn to try, or the timeout has passed."""
        writer = self._writer
        if writer is None:
            super().pause()
            return
        while True:
            if pause := writer.pause():
                time.sleep(pause)
            if writer.may_try() or self.is_over():
                return

    def end(self) -> None:
        """Stop waiting."""
        if self._writer is not None:
            self._writer.leave()


def _own(lock: Any) -> None:
    if not lock._is_owned():  # noqa: SLF001 - RLock has nothing public for it
        lock.acquire()
