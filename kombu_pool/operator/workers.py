"""The processes that consume, and the messages that they hold."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from kombu_pool.errors import KombuPoolError
from kombu_pool.operator.processes import Processes
from kombu_pool.operator.queue_details import consumers_of
from kombu_pool.operator.queues import ask, moving_sources, reason_of
from kombu_pool.operator.summaries import task_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from kombu_pool.model import Message, Project
    from kombu_pool.operator.processes import ProcessView
    from kombu_pool.operator.queue_details import ConsumerView
    from kombu_pool.operator.queues import QueueRow
    from kombu_pool.pooling import DataDriver
    from kombu_pool.pooling.pool_handle import PoolHandle
    from kombu_pool.storage.inspection import LiveClaim

#: Queues whose consumers, and whose claimed messages, are read.
MAX_QUEUES = 500
#: Claimed messages of a queue that are read.
MAX_HELD = 200
#: Time after which the messages of no more queues are read, in seconds.
MAX_SECONDS = 2.0


@dataclass(frozen=True)
class WorkerRow:
    """A process that consumes; None is unknown. ``dead``: it was of this machine, and has ended."""

    host: str | None
    pid: int | None
    #: When its first consumer began, in seconds since the epoch.
    since: float | None
    dead: bool
    #: Number of its consumers by queue.
    queues: dict[str, int] = field(default_factory=dict)
    #: Number of the messages that it holds, of those that were read.
    held: int = 0


@dataclass(frozen=True)
class HeldRow:
    """A message that a claim holds; ``age`` is since its post, ``held`` since the claim's last renewal, in seconds.

    ``ends``: when the claim ends unless it is renewed, in seconds from now. ``worker``: the process that holds it; None
    is unknown.
    """

    id: str
    task: str | None
    queue: str
    age: int
    claim_count: int
    claim: str
    held: int
    ends: float
    worker: ProcessView | None = None


@dataclass(frozen=True)
class HeldReport:
    """Messages that are held, why some pools did not answer, and how many queues the time did not suffice for.

    ``complete``: False if a queue has more of them than are read.
    """

    held: list[HeldRow]
    unreachable: dict[str, str] = field(default_factory=dict)
    unread: int = 0
    complete: bool = True


def list_workers(store: DataDriver, project: Project, queues: Iterable[str]) -> list[WorkerRow]:
    """Return the processes that consume from the first ``MAX_QUEUES`` of these queues, by host and pid."""
    found: dict[tuple[str | None, int | None], list[tuple[str, ConsumerView]]] = {}
    for queue in islice(queues, MAX_QUEUES):
        for view in consumers_of(store, project, queue):
            found.setdefault((view.host, view.pid), []).append((queue, view))
    rows = [_worker(host, pid, views) for (host, pid), views in found.items()]
    return sorted(rows, key=lambda row: (row.host or "", row.pid or 0))


def _worker(host: str | None, pid: int | None, views: Sequence[tuple[str, ConsumerView]]) -> WorkerRow:
    counts: dict[str, int] = {}
    for queue, _ in views:
        counts[queue] = counts.get(queue, 0) + 1
    since = min((view.since for _, view in views if view.since is not None), default=None)
    return WorkerRow(host, pid, since, all(view.dead for _, view in views), dict(sorted(counts.items())))


def with_held(workers: Iterable[WorkerRow], held: Iterable[HeldRow]) -> list[WorkerRow]:
    """Return the workers with the numbers of the messages that they hold, and those that hold some and do not consume.

    By host and pid.
    """
    counts = Counter(row.worker for row in held if row.worker is not None)
    rows = {(row.host, row.pid): row for row in workers}
    for process, count in counts.items():
        name = process.host, process.pid
        known = rows.get(name) or WorkerRow(*name, since=None, dead=process.dead)
        rows[name] = replace(known, held=count)
    return sorted(rows.values(), key=lambda row: (row.host or "", row.pid or 0))


def list_held(
    store: DataDriver, project: Project, queues: Collection[QueueRow], timeout: float | None = None
) -> HeldReport:
    """Return the messages that are held in these queues, and the processes that hold them; the oldest first."""
    in_pool: dict[str, list[str]] = {}
    sources = moving_sources(store, project)
    for row in islice((row for row in queues if row.claimed), MAX_QUEUES):
        in_pool.setdefault(row.pool, []).append(row.queue)
        if row.queue in sources:
            in_pool.setdefault(sources[row.queue], []).append(row.queue)
    processes = Processes.of(store) if in_pool else Processes(())
    calls = {pool: partial(_held, processes, project, names) for pool, names in in_pool.items()}
    answers = ask(store, calls, timeout)
    found = [answer for answer in answers.values() if not isinstance(answer, KombuPoolError)]
    held = [row for rows, _ in found for row in rows]
    errors = {pool: answer for pool, answer in answers.items() if isinstance(answer, KombuPoolError)}
    unreachable = {row.pool: row.error for row in queues if row.error is not None}
    unreachable.update({pool: reason_of(pool, error) for pool, error in errors.items()})
    is_complete = all(count < MAX_HELD for count in Counter(row.queue for row in held).values())
    unread = sum(unread for _, unread in found)
    return HeldReport(sorted(held, key=lambda row: -row.age), unreachable, unread, is_complete)


def _held(processes: Processes, project: Project, queues: Sequence[str], pool: PoolHandle) -> tuple[list[HeldRow], int]:
    """Return the messages that are held in these queues, and how many of the queues were not read in time."""
    rows: list[HeldRow] = []
    ends = time.monotonic() + MAX_SECONDS
    for number, queue in enumerate(queues):
        if time.monotonic() >= ends:
            return rows, len(queues) - number
        rows += _held_in(pool, project, queue, processes)
    return rows, 0


def _held_in(pool: PoolHandle, project: Project, queue: str, processes: Processes) -> Iterator[HeldRow]:
    claims = pool.claims.live_claims(queue, project, MAX_HELD)
    claim_of = {message_id: claim for claim in claims for message_id in claim.message_ids}
    for message in pool.messages.bulk_get(queue, claim_of, project):
        claim = claim_of[message["id"]]
        if message["claim_id"] == claim.id:  # else it was settled meanwhile
            yield _row(message, queue, claim, processes.find(claim.holder))


def _row(message: Message, queue: str, claim: LiveClaim, worker: ProcessView | None) -> HeldRow:
    name, task_id = task_of(message["body"])
    count, ends = message["claim_count"], claim.ttl - claim.age
    return HeldRow(task_id or message["id"], name, queue, int(message["age"]), count, claim.id, claim.age, ends, worker)
