"""Tracks which server is the master of a location behind Sentinels, while connections to it are in use.

A master that is demoted by a planned failover accepts writes for ten more seconds, and all of them are lost. So the
Sentinels are asked all the time, not only when a connection is opened.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from kombu_pool.drivers.redis.sentinels import Master, Sentinels

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.drivers.redis.location import Address, Location

logger = logging.getLogger(__name__)

#: Interval at which the Sentinels are asked for the master, in seconds.
_INTERVAL: Final = 1.0


class MasterTracker:
    """Knows the master of a location; ``on_change`` is called with the number of masters that it replaced so far."""

    def __init__(self, location: Location, on_change: Callable[[int], None]) -> None:
        self._location = location
        self._on_change = on_change
        self._master: Master | None = None
        self._generation = 0
        self._accepts_older = False
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        # One for the callers and one for the thread, so that neither waits for the timeouts of the other.
        self._sentinels = Sentinels(self._location)
        self._watched = Sentinels(self._location)
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def reset_after_fork(self) -> None:
        """Begin again in a child process; the parent's connections are kept without use."""
        self._inherited = (self._sentinels, self._watched)
        self._start()

    def address(self) -> tuple[Address, int]:
        """Ask the Sentinels for the address of the master, and return its number too; raises what redis-py does."""
        with self._lock:
            try:
                accepts_older, self._accepts_older = self._accepts_older, False
                master = self._sentinels.master(self._master, accepts_older=accepts_older)
                self._adopt(master)
                return master.address, self._generation
            finally:
                if self._stopped.is_set():
                    self._sentinels.close()
                else:
                    self._watch()

    def accept_older(self) -> None:
        """Accept an answer older than the known master from the next question."""
        self._accepts_older = True

    def close(self) -> None:
        """End the thread and close idle connections. Later questions close theirs themselves. Idempotent."""
        self._stopped.set()
        if self._lock.acquire(blocking=False):
            self._sentinels.close()
            self._lock.release()

    def _watch(self) -> None:
        if self._thread is None:
            thread = threading.Thread(
                target=self._run, args=(self._stopped, self._watched), name="kombu_pool-sentinel", daemon=True
            )
            # Without a thread the master is asked for when a connection is opened.
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def _run(self, stopped: threading.Event, sentinels: Sentinels) -> None:
        # At whole seconds: consumers and producers of all processes leave a former master at about the same moment.
        while not stopped.wait(_INTERVAL - time.time() % _INTERVAL):
            try:
                self._follow(sentinels)
            except Exception as error:  # noqa: BLE001 - without the thread no failover would be noticed
                logger.debug("%s: the Sentinels do not tell the master: %s", self._location, error)
        sentinels.close()

    def _follow(self, sentinels: Sentinels) -> None:
        before = self._master
        newest = sentinels.tracked(before)
        with self._lock:
            # A caller may have got a newer answer meanwhile.
            if self._master is None or self._master == before or newest.epoch >= self._master.epoch:
                self._adopt(newest)

    def _adopt(self, master: Master) -> None:
        former, self._master = self._master, master
        if former is not None and former.address != master.address:
            logger.info("%s: the master is %s:%s now", self._location, *master.address)
            self._generation += 1
            self._on_change(self._generation)
