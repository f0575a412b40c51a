"""Deletes queues that expired, frees what dead processes held, dead-letters what is dead, and gives space back.

Moves of queues that a dead process left are continued by a thread of their own.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING

from kombu_pool.errors import KombuPoolError
from kombu_pool.transport import processes, threads
from kombu_pool.transport.threads import Flag
from kombu_pool.transport.upkeep.dead_processes import DeadProcesses
from kombu_pool.transport.upkeep.moves import MoveUpkeep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.storage import ControlDriver

logger = logging.getLogger(__name__)


class Maintenance:
    """A daemon thread of every consuming process; it starts with the first consumer.

    ``queues`` returns the (project, queue) that this process consumes.
    """

    #: Interval of garbage collections, which only give space back, in seconds.
    GC_INTERVAL = 25.0

    def __init__(
        self,
        data: DataDriver,
        control: ControlDriver,
        check_epoch: Callable[[str], None],
        queues: Callable[[], Iterable[tuple[Project, str]]],
    ) -> None:
        self._data = data
        self._control = control
        self._check_epoch = check_epoch
        self._dead_processes = DeadProcesses(data, control.consumers_controller, queues)
        self._moves = MoveUpkeep(data)
        self._stop = Flag()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._interval = control.consumers_controller.poll_interval
        self._collected_at = time.monotonic()

    def start(self) -> None:
        """Start the thread, unless it runs."""
        with self._lock:
            if self._thread is None:
                self._thread = threads.started(self._run, "maintenance")

    def close(self) -> None:
        """End the threads."""
        self._stop.set()
        threads.join(self._thread, timeout=5.0)
        self._moves.close()

    def _run(self) -> None:
        # Jitter: the processes of one machine start together and must not all ask at the same moment.
        while not self._stop.wait(self._interval * random.uniform(0.75, 1.25)):  # noqa: S311 - no secret
            try:
                while self.run_once() and not self._stop.is_set():
                    pass
            except KombuPoolError as error:
                logger.info("Maintenance waits for the store: %s", error)
            except Exception:
                logger.exception("Maintenance failed; retrying in %g s", self._interval)

    def run_once(self) -> bool:
        """Do what is due, and collect garbage if it is time.

        Returns whether it deleted some queues: more may have expired than one answer names.
        """
        due = self._control.due_maintenance(processes.machine())
        self._check_epoch(due.epoch)
        if due.has_moves:
            self._moves.start()
        self._dead_processes.judge(due.holders)
        deleted = self._data.queue_controller.expire_many(due.expired) if due.expired else 0
        self._data.queue_controller.end_deletions(due.deletions)
        self._data.dead_letter_all()
        if time.monotonic() - self._collected_at >= self.GC_INTERVAL:
            self._collected_at = time.monotonic()
            self._data.gc()
        return deleted > 0
