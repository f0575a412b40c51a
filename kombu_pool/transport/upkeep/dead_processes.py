"""Ends the claims of processes of this machine that have died, so that their messages come back at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kombu_pool.transport import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver

logger = logging.getLogger(__name__)

#: How often the claims of a dead process are ended: a store may execute its last request after its death.
ROUNDS = 3


class DeadProcesses:
    """The processes of this machine that use the same control store, as this process knows them.

    Each process judges for itself, and ends claims only in the ``queues`` that it consumes. Their names come from the
    holders of the control store; whether they live the system tells.
    """

    def __init__(self, data: DataDriver, queues: Callable[[], Iterable[tuple[Project, str]]]) -> None:
        self._claims = data.claim_controller
        self._queues = queues
        #: The other processes that were present lately, and how often they have been absent since.
        self._known: dict[str, int] = {}
        #: How often the claims of a dead process in a queue were ended.
        self._rounds: dict[tuple[str, Project, str], int] = {}

    def judge(self, holders: Sequence[str]) -> int:
        """End what dead processes hold in this process's queues; return the number of messages that became free.

        ``holders``: the ids of the live holders of this machine. A process that was among them before is judged, too.
        """
        present = {processes.process_of(holder) for holder in holders} - {processes.process()}
        known = {process: absent + 1 for process, absent in self._known.items() if absent < ROUNDS}
        self._known = known | dict.fromkeys(present, 0)
        self._rounds = {key: rounds for key, rounds in self._rounds.items() if key[0] in self._known}
        # The holders of a dead process expire with their ttl, and its claims have ended by then.
        return sum(self._end_claims(process) for process in self._known if processes.has_died(process))

    def _end_claims(self, process: str) -> int:
        keys = [(process, project, queue) for project, queue in self._queues()]
        keys = [key for key in keys if self._rounds.get(key, 0) < ROUNDS]
        if not keys:
            return 0
        freed = self._claims.end_claims(process, [(project, queue) for _, project, queue in keys])
        self._rounds.update({key: self._rounds.get(key, 0) + 1 for key in keys})
        if freed:
            logger.info(
                "Process %s of this machine has died: %d message(s) that it held are free again",
                process.split(":")[1],
                freed,
            )
        return freed
