"""Tidies up after those who died: queues that nobody uses any more, dead letters, and the space of what expired."""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING

from kombu_pool.errors import KombuPoolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.storage import ControlDriver, DataDriver
    from kombu_pool.transport.declare.queues import Queues

logger = logging.getLogger(__name__)


class Housekeeping:
    """A daemon thread of every process that consumes; it starts with the first consumer."""

    #: How many looks for abandoned queues there are for each collection, which only gives space back.
    COLLECT = 5

    def __init__(self, data: DataDriver, control: ControlDriver, queues: Queues, look_back: Callable[[], None]) -> None:
        self._data = data
        self._control = control
        self._queues = queues
        self._look_back = look_back
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._pause = control.consumers_controller.poll_interval
        self._collected_at = time.monotonic()

    def start(self) -> None:
        """Start the thread, unless it runs."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kombu_pool-housekeeping", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        # The processes of one machine start together; they need not tidy up together.
        while not self._stop.wait(self._pause * random.uniform(0.75, 1.25)):  # noqa: S311 - no secret
            try:
                self.tidy()
            except KombuPoolError as error:
                logger.info("Tidying up waits: %s", error)
            except Exception:
                logger.exception("Tidying up failed")

    def tidy(self) -> None:
        """Delete the queues that nobody has used for their lifetime; bury the dead; collect, if it is time."""
        self._look_back()
        for project, queue in self._control.consumers_controller.expired_queues():
            logger.debug("Queue %r is deleted: nobody has used it for its lifetime", queue)
            self._queues.expire(project, queue)
        self._data.dead_letter_all()
        if time.monotonic() - self._collected_at >= self.COLLECT * self._pause:
            self._collected_at = time.monotonic()
            self._data.gc()
