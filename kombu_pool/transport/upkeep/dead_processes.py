"""Ends the claims and consumers of dead processes of this machine, so that their messages come back at once."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kombu_pool.transport import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.storage import ConsumersController

logger = logging.getLogger(__name__)

#: How often the claims of a dead process are ended: a store may execute its last request after its death.
ROUNDS = 3


@dataclass(slots=True)
class _Process:
    """Another process of this machine that uses the same control store."""

    name: str
    #: Whether it has died, and its holders when it was last known to live: they expire one after the other.
    is_dead: bool = False
    holders: Sequence[str] = ()
    #: How often it has been absent since it was among the live holders.
    absent: int = 0
    #: How often its claims were ended, by queue.
    rounds: dict[tuple[Project, str], int] = field(default_factory=dict)


class DeadProcesses:
    """The other processes of this machine, as far as they hold something.

    Each process judges for itself, and ends claims only in the ``queues`` that it consumes. The control store tells
    which processes there are, and the system whether they live.
    """

    def __init__(
        self, data: DataDriver, consumers: ConsumersController, queues: Callable[[], Iterable[tuple[Project, str]]]
    ) -> None:
        self._claims = data.claim_controller
        self._consumers = consumers
        self._queues = queues
        self._known: dict[str, _Process] = {}

    def judge(self, holders: Sequence[str]) -> None:
        """End what dead processes hold in this process's queues.

        ``holders``: the ids of the live holders of this machine. A process that was among them before is judged, too.
        """
        for process in self._known.values():
            process.absent += 1
        live = _by_process(holders)
        for name, of_process in live.items():
            process = self._known.setdefault(name, _Process(name))
            process.absent = 0
            if not process.is_dead:
                process.holders = of_process
        for process in self._known.values():
            process.is_dead = process.is_dead or processes.has_died(process.name)
        for process in [process for process in self._known.values() if process.is_dead]:
            self._end_claims(process)
            self._remove_consumers(live.get(process.name, ()))
            if process.absent >= ROUNDS:
                # Its holders have expired with their ttl, and its claims have ended by then.
                self._consumers.remove_holders(process.holders)
        # One that lives may only be late with its renewal.
        self._known = {name: one for name, one in self._known.items() if not one.is_dead or one.absent < ROUNDS}

    def _end_claims(self, process: _Process) -> None:
        queues = [queue for queue in self._queues() if process.rounds.get(queue, 0) < ROUNDS]
        if not queues:
            return
        # Without the queues of pools that do not answer: theirs are ended later.
        ended = self._claims.end_claims_of(process.name, queues)
        process.rounds.update({queue: process.rounds.get(queue, 0) + 1 for queue in ended})
        if freed := sum(ended.values()):
            logger.info(
                "Process %s of this machine has died: %d message(s) that it held are free again",
                process.name.split(":")[1],
                freed,
            )

    def _remove_consumers(self, holders: Sequence[str]) -> None:
        """Remove what a dead process holds but its registration, by which one that starts later learns of it."""
        if consumers := [holder for holder in holders if not processes.is_registration(holder)]:
            self._consumers.remove_holders(consumers)


def _by_process(holders: Sequence[str]) -> dict[str, list[str]]:
    """Return the holders of other processes, by the names of these."""
    found: dict[str, list[str]] = {}
    for holder in holders:
        found.setdefault(processes.process_of(holder), []).append(holder)
    found.pop(processes.process(), None)
    return found
