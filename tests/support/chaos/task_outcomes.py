"""What the journal says of each task: in which process it began, whether it was done, and which worker forgot it."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

#: What is written of a task that its worker forgot.
FORGOTTEN = "forgotten"


class Run(NamedTuple):
    """A task was begun by a process of a worker (its main process, or its name)."""

    task: str
    pid: int
    worker: str


class Ledger:
    """Reads the journal as it grows."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._position = 0
        self._rest = b""
        self.runs: dict[str, list[Run]] = defaultdict(list)
        self.ended: Counter[str] = Counter()
        #: Which workers forgot a task, of those that wrote it down.
        self.forgotten: dict[str, set[str]] = defaultdict(set)
        self._last: dict[int, Run] = {}
        #: The workers that have begun something.
        self.workers: set[str] = set()

    def read(self) -> Ledger:
        if not self._journal.exists():
            return self
        with self._journal.open("rb") as file:
            file.seek(self._position)
            data = file.read()
        self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(*line.decode().split())
        return self

    def _take(self, pid: str, what: str, task: str, worker: str) -> None:
        if what == "end":
            self.ended[task] += 1
            return
        if what == FORGOTTEN:
            self.forgotten[task].add(worker)
            return
        run = self._last[int(pid)] = Run(task, int(pid), worker)
        self.runs[task].append(run)
        self.workers.add(worker)

    @property
    def begun(self) -> int:
        return sum(map(len, self.runs.values()))

    def repeated(self) -> dict[str, list[Run]]:
        """Return the runs of each task that was begun more than once."""
        return {task: runs for task, runs in self.runs.items() if len(runs) > 1}

    def doubled(self) -> dict[str, list[Run]]:
        """Return the runs of each task that was begun more than once by workers that had not forgotten it."""
        known = {
            task: [run for run in runs if run.worker not in self.forgotten[task]]
            for task, runs in self.repeated().items()
        }
        return {task: runs for task, runs in known.items() if len(runs) > 1}

    def charge(self, children: Collection[int], mains: Collection[int]) -> tuple[Counter[int], list[list[Run]]]:
        """Lay each run that was one too many at the door of the killed process that held the message.

        A child holds the one task that it began last; a main process all that its worker has been lent. Return how many
        each is charged with, and the runs of tasks that nobody who was killed can answer for.
        """
        charged: Counter[int] = Counter()
        unaccounted = []
        for runs in self.repeated().values():
            holders = [holder for run in runs if (holder := self._holder(run, children, mains)) is not None]
            if len(runs) - len(holders) > 1:
                unaccounted.append(runs)
            charged.update(holders[: len(runs) - 1])
        return charged, unaccounted

    def _holder(self, run: Run, children: Collection[int], mains: Collection[int]) -> int | None:
        if run.pid in children and self._last[run.pid] == run:
            return run.pid
        return int(run.worker) if int(run.worker) in mains else None
