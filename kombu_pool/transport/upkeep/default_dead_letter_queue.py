"""The queue for dead letters that have no other: bounded, and announced in the log."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import QueueDoesNotExist, QueueIsFull
from kombu_pool.storage import DEFAULT_MESSAGE_TTL, MAX_LENGTH, OVERFLOW
from kombu_pool.transport.declare.queue_arguments import DECLARED, LENGTH_ARGUMENT
from kombu_pool.transport.zero_ttl import TTL_ARGUMENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.errors import KombuPoolError
    from kombu_pool.model import NewMessage, Project
    from kombu_pool.storage import DataDriver

logger = logging.getLogger(__name__)

DEFAULT_DEAD_LETTER_QUEUE = "kombu_pool.dead_letters"


class DefaultDeadLetterQueue:
    """Stores dead letters in the default queue of their project; ``data`` returns the driver that posts them.

    ``max_length`` and ``ttl`` bound the queue; 0: without this bound.
    """

    #: Interval of the log lines about one queue, in seconds.
    LOG_INTERVAL = 60.0
    #: Interval at which the bounds are set again, in seconds: the queue may be declared again without them.
    BOUND_INTERVAL = 60.0
    #: Attempts to store one dead letter while other processes delete the queue.
    MAX_ATTEMPTS = 5
    #: Bound of the queues whose log lines are counted.
    MAX_QUEUES = 1000

    def __init__(self, data: Callable[[], DataDriver], max_length: int, ttl: float) -> None:
        self._data = data
        self._max_length = max_length
        self._ttl = ttl
        #: By project: the time until which the bounds need no look.
        self._bounded: dict[Project, float] = {}
        #: By project and queue: the time of the next log line, and the number of dead letters since the last.
        self._logged: dict[tuple[Project, str], tuple[float, int]] = {}

    def keep(self, project: Project, dead: NewMessage, why: str) -> None:
        """Store a dead letter; ``why`` says for the log why no other queue takes it.

        Raises:
            KombuPoolError: the queue is unreachable, or was deleted or full each time before the dead letter was
                stored; the last error.
        """
        kept: NewMessage = {**dead, "ttl": self._ttl or None}
        if time.monotonic() >= self._bounded.get(project, float("-inf")):
            self._bound(project)
        # Another process may delete the queue at any time, or declare it with an overflow that refuses messages; a dead
        # letter that is not stored stays where it is.
        last: KombuPoolError = QueueDoesNotExist(DEFAULT_DEAD_LETTER_QUEUE, project)
        for _ in range(self.MAX_ATTEMPTS):
            refusal = self._refusal(project, kept)
            if refusal is None:
                self._log(project, dead["dead_letter"]["queue"], dead["dead_letter"]["reason"], why)
                return
            last = refusal
            self._bound(project)
        raise last

    def _refusal(self, project: Project, dead: NewMessage) -> KombuPoolError | None:
        """Store a dead letter in the default queue; return the error if it is absent or full."""
        try:
            self._data().message_controller.post(DEFAULT_DEAD_LETTER_QUEUE, [dead], None, project)
        except (QueueDoesNotExist, QueueIsFull) as error:
            return error
        return None

    def post(self, project: Project, queue: str, dead: NewMessage) -> bool:
        """Store a dead letter in any queue; return False if the queue does not exist."""
        try:
            self._data().message_controller.post(queue, [dead], None, project)
        except QueueDoesNotExist:
            return False
        return True

    def _bound(self, project: Project) -> None:
        """Create the queue, or give it these bounds, except those that a declaration of it names itself.

        Its first messages make room, whatever the declaration says: a dead letter that it refuses would be tried for
        ever.
        """
        queues, bounds = self._data().queue_controller, self._bounds()
        if not queues.create(DEFAULT_DEAD_LETTER_QUEUE, bounds, project):
            metadata = queues.get_metadata(DEFAULT_DEAD_LETTER_QUEUE, project)
            arguments = metadata.get(DECLARED, {}).get("arguments", {})
            named = {MAX_LENGTH: LENGTH_ARGUMENT in arguments, DEFAULT_MESSAGE_TTL: TTL_ARGUMENT in arguments}
            ours = {key: value for key, value in metadata.items() if named.get(key, key != OVERFLOW)}
            wanted = {**ours, **{key: value for key, value in bounds.items() if not named[key]}}
            if wanted != metadata:
                queues.set_metadata(DEFAULT_DEAD_LETTER_QUEUE, wanted, project)
        self._bounded[project] = time.monotonic() + self.BOUND_INTERVAL

    def _bounds(self) -> dict[str, Any]:
        bounds = {MAX_LENGTH: self._max_length, DEFAULT_MESSAGE_TTL: self._ttl}
        return {key: value for key, value in bounds.items() if value}

    def _log(self, project: Project, queue: str, reason: str, why: str) -> None:
        """Log a dead letter, at most one of each queue in an interval; the next line counts the others."""
        now = time.monotonic()
        due, unlogged = self._logged.get((project, queue), (0.0, 0))
        if now < due:
            self._logged[project, queue] = (due, unlogged + 1)
            return
        if len(self._logged) >= self.MAX_QUEUES:
            self._logged.clear()
        self._logged[project, queue] = (now + self.LOG_INTERVAL, 0)
        more = f", as were {unlogged} since the last such line" if unlogged else ""
        logger.warning(
            "A message of queue %r (%s) is kept in queue %r%s: %s", queue, reason, DEFAULT_DEAD_LETTER_QUEUE, more, why
        )
