"""The outcome of each task, from the journal: its runs, whether it ended, and the workers that dropped it."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

#: Journal entry of a task that its worker dropped.
DROPPED = "dropped"


class Run(NamedTuple):
    """A run of a task in a process of a worker, which is identified by its main process or its name."""

    task: str
    pid: int
    worker: str


class TaskOutcomes:
    """Reads the journal incrementally."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._position = 0
        self._rest = b""
        self.runs: dict[str, list[Run]] = defaultdict(list)
        self.ended: Counter[str] = Counter()
        #: Task -> the workers that recorded dropping it.
        self.dropped: dict[str, set[str]] = defaultdict(set)
        self._last: dict[int, Run] = {}
        #: The workers that have begun a task.
        self.workers: set[str] = set()

    def read(self) -> TaskOutcomes:
        if not self._journal.exists():
            return self
        with self._journal.open("rb") as file:
            file.seek(self._position)
            data = file.read()
        self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._record(*line.decode().split())
        return self

    def _record(self, pid: str, event: str, task: str, worker: str) -> None:
        if event == "end":
            self.ended[task] += 1
            return
        if event == DROPPED:
            self.dropped[task].add(worker)
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

    def duplicated(self) -> dict[str, list[Run]]:
        """Return the runs of each task that was begun more than once by workers that had not dropped it."""
        kept = {
            task: [run for run in runs if run.worker not in self.dropped[task]]
            for task, runs in self.repeated().items()
        }
        return {task: runs for task, runs in kept.items() if len(runs) > 1}

    def attribute_repeats(
        self, children: Collection[int], mains: Collection[int]
    ) -> tuple[Counter[int], list[list[Run]]]:
        """Attribute each repeated run to the killed process that held the message.

        A child holds only the task that it began last; a main process holds all messages that its worker has claimed.
        Return the number of repeats of each process, and the runs of tasks that no killed process held.
        """
        repeats: Counter[int] = Counter()
        unaccounted = []
        for runs in self.repeated().values():
            holders = [holder for run in runs if (holder := self._holder(run, children, mains)) is not None]
            if len(runs) - len(holders) > 1:
                unaccounted.append(runs)
            repeats.update(holders[: len(runs) - 1])
        return repeats, unaccounted

    def _holder(self, run: Run, children: Collection[int], mains: Collection[int]) -> int | None:
        if run.pid in children and self._last[run.pid] == run:
            return run.pid
        return int(run.worker) if int(run.worker) in mains else None
