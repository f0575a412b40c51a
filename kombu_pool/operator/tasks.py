"""Tasks that wait: by name, and by the id under which the message of a task is found."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from kombu_pool.operator.messages import MAX_SEARCHED, look
from kombu_pool.operator.queues import list_queues, reason_of
from kombu_pool.operator.summaries import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from kombu_pool.model import FoundMessage, KeyResult, Message, Project
    from kombu_pool.operator.queues import QueueReport
    from kombu_pool.pooling import DataDriver

#: The states of a message in a store -> as an operator reads them.
_STATES = {"free": "ready", "delayed": "delayed", "claimed": "claimed"}


@dataclass(frozen=True)
class TaskRow:
    """A task in a queue; ``id`` is that of the task, or of its message if it has none. ``due``: when it may run."""

    id: str
    task: str | None
    queue: str
    state: str
    age: int
    priority: int
    due: float | None = None


@dataclass(frozen=True)
class TaskSummary:
    """The tasks of one name in one queue: by state, the age of the oldest ready one, and when the next one is due."""

    task: str
    queue: str
    ready: int
    delayed: int
    oldest_age: int | None
    next_due: float | None


@dataclass(frozen=True)
class TaskReport:
    """Tasks that wait.

    ``complete``: False if a queue has more messages than were read; ``unread`` counts the queues that the time did not
    suffice for.
    """

    tasks: list[TaskRow]
    complete: bool = True
    unreachable: dict[str, str] = field(default_factory=dict)
    unread: int = 0

    def summaries(self) -> list[TaskSummary]:
        """Return the tasks by name and queue."""
        groups: dict[tuple[str, str], list[TaskRow]] = {}
        for row in self.tasks:
            groups.setdefault((row.task or "", row.queue), []).append(row)
        return [_summary(*names, rows) for names, rows in sorted(groups.items())]


@dataclass(frozen=True)
class TaskAnswer:
    """What became of the tasks of some ids.

    ``tasks`` were found, cancelled or changed; ``claimed`` were left alone, as a worker holds them, ``dead_letters``
    by a cancellation; ``missing`` ids have no message that waits.
    """

    tasks: list[TaskRow]
    claimed: list[TaskRow] = field(default_factory=list)
    dead_letters: list[TaskRow] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether every id was found, and nothing stood against the action."""
        return not (self.claimed or self.dead_letters or self.missing or self.unreachable)


class TaskFilter(NamedTuple):
    """A selection of tasks: of these names or patterns, in one state, and not younger than some seconds."""

    names: Collection[str] = ()
    state: str | None = None
    older_than: float = 0.0

    def matches(self, row: TaskRow) -> bool:
        """Return whether a task is selected."""
        return (
            row.task is not None
            and (not self.names or any(fnmatchcase(row.task, name) for name in self.names))
            and row.age >= self.older_than
        )


def list_tasks(
    store: DataDriver,
    project: Project,
    selection: TaskFilter,
    *,
    queues: Collection[str] = (),
    limit: int | None = None,
    seconds: float = float("inf"),
) -> TaskReport:
    """Return the tasks that wait in the queues that match a pattern, of the first ``limit`` messages by state.

    ``seconds``: time after which no more queues are read.
    """
    ends, unread = time.monotonic() + seconds, set()
    report = list_queues(store, project, patterns=queues)
    limit = MAX_SEARCHED if limit is None else limit
    rows: list[TaskRow] = []
    for queue, state in _filled(report, selection.state):
        if time.monotonic() >= ends:
            unread.add(queue)
            continue
        looked = look(store, project, queue, limit, delayed=state == "delayed")
        rows += [_row(message, queue, state, due) for message, due in looked]
    complete = all(max(row.ready or 0, row.delayed or 0) <= limit for row in report.queues)
    found = [row for row in rows if selection.matches(row)]
    return TaskReport(found, complete and not unread, report.unreachable, len(unread))


def _filled(report: QueueReport, state: str | None) -> Iterator[tuple[str, str]]:
    """Yield the queues and states that have messages."""
    for row in report.queues:
        for each, count in (("ready", row.ready), ("delayed", row.delayed)):
            if count and state in (None, each):
                yield row.queue, each


def _row(message: Message, queue: str, state: str, due: float | None) -> TaskRow:
    name, task_id = task_of(message["body"])
    age, priority = int(message["age"]), message.get("priority", 0)
    return TaskRow(task_id or message.get("key") or message["id"], name, queue, state, age, priority, due)


def _summary(task: str, queue: str, rows: Sequence[TaskRow]) -> TaskSummary:
    ready = [row.age for row in rows if row.state == "ready"]
    due = [row.due for row in rows if row.due is not None]
    return TaskSummary(
        task, queue, len(ready), len(rows) - len(ready), max(ready, default=None), min(due, default=None)
    )


def find_tasks(store: DataDriver, project: Project, ids: Iterable[str], queue: str | None = None) -> TaskAnswer:
    """Return the messages of tasks, also of those that a worker holds."""
    return _each(ids, lambda key: store.message_controller.find(key, queue, project))


def cancel_tasks(
    store: DataDriver,
    project: Project,
    ids: Iterable[str],
    queue: str | None = None,
    on_cancelled: Callable[[Sequence[FoundMessage]], None] | None = None,
) -> TaskAnswer:
    """Delete the messages of tasks that wait, no dead letters; call ``on_cancelled`` with those of each id.

    The results of the tasks stay as they are, unless that changes them.
    """

    def cancel(key: str) -> KeyResult:
        result = store.message_controller.cancel(key, queue, project)
        if on_cancelled is not None and result.messages:
            on_cancelled(result.messages)
        return result

    return _each(ids, cancel)


def change_tasks(
    store: DataDriver,
    project: Project,
    ids: Iterable[str],
    *,
    due: float | None = None,
    priority: int | None = None,
    queue: str | None = None,
) -> TaskAnswer:
    """Change when tasks that wait may run, or their priority; with a time that is over they may run now."""
    return _each(ids, lambda key: store.message_controller.change(key, due, priority, queue, project))


def run_now(store: DataDriver, project: Project, ids: Iterable[str], queue: str | None = None) -> TaskAnswer:
    """Make delayed tasks ready now."""
    # A time that is over by the clock of every store.
    return change_tasks(store, project, ids, due=0.0, queue=queue)


def _each(ids: Iterable[str], call: Callable[[str], KeyResult]) -> TaskAnswer:
    answer = TaskAnswer([])
    for key in dict.fromkeys(ids):
        result = call(key)
        answer.tasks.extend(map(_found, result.messages))
        answer.claimed.extend(map(_found, result.claimed))
        answer.dead_letters.extend(map(_found, result.dead_letters))
        answer.unreachable.update({pool: reason_of(pool, error) for pool, error in result.unreachable.items()})
        if not (result.messages or result.claimed or result.dead_letters):
            answer.missing.append(key)
    return answer


def _found(message: FoundMessage) -> TaskRow:
    return _row(message, message["queue"], _STATES[message["state"]], message["due"])
