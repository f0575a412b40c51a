"""The processes that consume, and the messages that they hold."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from kombu_pool.errors import KombuPoolError
from kombu_pool.operator.queue_details import consumers_of
from kombu_pool.operator.queues import ask, reason_of
from kombu_pool.operator.summaries import task_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from kombu_pool.model import Message, Project
    from kombu_pool.operator.queue_details import ConsumerView
    from kombu_pool.operator.queues import QueueRow
    from kombu_pool.pooling import DataDriver
    from kombu_pool.pooling.pool_handle import PoolHandle

#: Queues whose consumers, and whose claimed messages, are read.
MAX_QUEUES = 500
#: First messages of a queue that are searched for claimed ones: the oldest messages are claimed first.
MAX_SEARCHED = 200
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


@dataclass(frozen=True)
class HeldRow:
    """A message that a consumer holds; ``age`` is since its post, ``held`` since its claim's last renewal, in seconds.

    ``ends``: when the claim ends unless it is renewed, in seconds from now.
    """

    id: str
    task: str | None
    queue: str
    age: int
    claim_count: int
    claim: str
    held: int | None = None
    ends: float | None = None


@dataclass(frozen=True)
class HeldReport:
    """Messages that are held, why some pools did not answer, and how many queues the time did not suffice for."""

    held: list[HeldRow]
    unreachable: dict[str, str] = field(default_factory=dict)
    unread: int = 0


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


def list_held(
    store: DataDriver, project: Project, queues: Collection[QueueRow], timeout: float | None = None
) -> HeldReport:
    """Return the messages that are held among the first ones of these queues, the oldest first."""
    in_pool: dict[str, list[str]] = {}
    for row in islice((row for row in queues if row.claimed), MAX_QUEUES):
        in_pool.setdefault(row.pool, []).append(row.queue)
    calls = {pool: partial(_held, project=project, queues=names) for pool, names in in_pool.items()}
    answers = ask(store, calls, timeout)
    found = [answer for answer in answers.values() if not isinstance(answer, KombuPoolError)]
    held = [row for rows, _ in found for row in rows]
    errors = {pool: answer for pool, answer in answers.items() if isinstance(answer, KombuPoolError)}
    unreachable = {row.pool: row.error for row in queues if row.error is not None}
    unreachable.update({pool: reason_of(pool, error) for pool, error in errors.items()})
    return HeldReport(sorted(held, key=lambda row: -row.age), unreachable, sum(unread for _, unread in found))


def _held(pool: PoolHandle, project: Project, queues: Sequence[str]) -> tuple[list[HeldRow], int]:
    """Return the messages that are held in these queues, and how many of the queues were not read in time."""
    rows: list[HeldRow] = []
    ends = time.monotonic() + MAX_SECONDS
    for number, queue in enumerate(queues):
        if time.monotonic() >= ends:
            return rows, len(queues) - number
        rows += _held_in(pool, project, queue)
    return rows, 0


def _held_in(pool: PoolHandle, project: Project, queue: str) -> list[HeldRow]:
    listing = pool.messages.list(queue, project, None, MAX_SEARCHED, echo=True, include_claimed=True)
    messages = [message for message in next(listing) if message["claim_id"] is not None]
    claims = {message["claim_id"]: _claim(pool, project, queue, message["claim_id"]) for message in messages}
    return [_row(message, queue, claims[message["claim_id"]]) for message in messages]


def _claim(pool: PoolHandle, project: Project, queue: str, claim_id: str) -> Mapping[str, float] | None:
    try:
        claim, _ = pool.claims.get(queue, claim_id, project)
    except KombuPoolError:
        return None  # it has ended meanwhile
    return {"age": claim["age"], "ttl": claim["ttl"]}


def _row(message: Message, queue: str, claim: Mapping[str, float] | None) -> HeldRow:
    name, task_id = task_of(message["body"])
    held, ends = (None, None) if claim is None else (int(claim["age"]), claim["ttl"] - claim["age"])
    claim_id = str(message["claim_id"])
    return HeldRow(
        task_id or message["id"], name, queue, int(message["age"]), message["claim_count"], claim_id, held, ends
    )
