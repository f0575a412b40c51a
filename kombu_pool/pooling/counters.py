"""Counts what this process does with each queue, and adds the sums to the control store once a second."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError

if TYPE_CHECKING:
    from kombu_pool.model import Project
    from kombu_pool.storage import ControlDriver

logger = logging.getLogger(__name__)

#: Interval at which sums are added to the control store, in seconds: a killed process loses what it counted in it.
INTERVAL = 1.0
#: Intervals without a count after which the thread ends.
_IDLE_INTERVALS = 5
#: Intervals after which the cells of queues without a count are removed.
_CELL_INTERVALS = 30
#: Bound of the queues whose sums are kept while the control store does not answer; beyond it all are dropped.
_MAX_QUEUES = 10_000
#: Longest wait for an addition that is under way, in seconds.
_TIMEOUT = 5.0


class QueueCounters:
    """The counts that the control store does not have yet.

    A daemon thread adds the sums; it starts with a count, and ends after a few idle seconds.
    """

    def __init__(self, control: ControlDriver) -> None:
        self._control = control
        self._closed = False
        self.after_fork()
        _instances.add(self)

    def after_fork(self) -> None:
        """Drop, in a child process, what the parent has counted, and its thread."""
        #: By project, queue, incarnation and name: a byte for each message that was counted. Adding and removing bytes
        #: is atomic without a lock, which an exception of a signal handler might leave locked, and makes no object.
        self._cells: dict[tuple[Project, str, str, str], bytearray] = {}
        self._removed: list[tuple[tuple[Project, str, str, str], bytearray]] = []
        self._rounds = 0
        self._sums: dict[tuple[Project, str, str], dict[str, int]] = {}
        self._is_failing = False
        self._thread: threading.Thread | None = None
        self._start_at = float("-inf")
        self._running, self._sending = threading.Lock(), threading.Lock()
        #: Released to end the thread's wait.
        self._stop = threading.Lock()
        self._stop.acquire()

    def add(self, project: Project, queue: str, incarnation: str | None, name: str, count: int) -> None:
        """Count messages of a queue; those of a queue without an assignment are not counted."""
        if count and incarnation:
            cell = self._cells.get((project, queue, incarnation, name))
            if cell is None:
                cell = self._cells.setdefault((project, queue, incarnation, name), bytearray())
            if count == 1:
                cell.append(0)
            else:
                cell.extend(bytes(count))
            if self._thread is None:
                self._start()

    def send(self) -> None:
        """Add all sums to the control store now. One that does not answer gets them later."""
        if not self._sending.acquire(timeout=_TIMEOUT):
            return
        try:
            self._sum_up()
            if self._sums:
                self._control.add_counters(self._sums)
                self._sums = {}
            self._is_failing = False
        except KombuPoolError as error:
            # They were added if only the answer got lost, and are counted twice then.
            logger.debug("Counters are added later: %s", mask(str(error)))
            self._is_failing = True
            if len(self._sums) > _MAX_QUEUES:
                self._sums = {}
        finally:
            self._sending.release()

    def close(self) -> None:
        """End the thread, and add what is left unless the control store did not answer before."""
        self._closed = True
        try:  # noqa: SIM105 - suppress() is Python: another place where a signal handler may raise
            self._stop.release()
        except RuntimeError:
            pass
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_TIMEOUT)
        if not self._is_failing:
            self.send()

    def _sum_up(self) -> None:
        removed, self._removed = self._removed, []
        for (project, queue, incarnation, name), cell in [*self._cells.items(), *removed]:
            if count := len(cell):
                del cell[:count]
                of_queue = self._sums.setdefault((project, queue, incarnation), {})
                of_queue[name] = of_queue.get(name, 0) + count
        self._rounds += 1
        if self._rounds % _CELL_INTERVALS == 0:
            empty = [key for key, cell in list(self._cells.items()) if not cell]
            # Summed up once more: a call may be about to count in one of them.
            self._removed = [(key, self._cells.pop(key)) for key in empty]

    def _start(self) -> None:
        """Start the thread, unless that was tried a moment ago."""
        now = time.monotonic()
        if self._closed or now < self._start_at:
            return
        self._start_at = now + INTERVAL
        try:
            threading.Thread(target=self._run, name="kombu_pool counters", daemon=True).start()
        except RuntimeError as error:
            logger.debug("The thread for counters could not be started; a later count tries again: %s", error)

    def _run(self) -> None:
        if not self._running.acquire(blocking=False):
            return
        self._thread = threading.current_thread()
        try:
            self._send_repeatedly()
        except Exception:
            logger.exception("The counters of this process were not added")
        finally:
            self._thread = None
            self._running.release()
        if any(self._cells.values()):
            self._start()

    def _send_repeatedly(self) -> None:
        idle = 0
        while idle < _IDLE_INTERVALS and not self._stop.acquire(timeout=INTERVAL):
            idle = 0 if self._sums or any(self._cells.values()) else idle + 1
            self.send()


_instances: weakref.WeakSet[QueueCounters] = weakref.WeakSet()


def _after_fork() -> None:
    for counters in list(_instances):
        counters.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
