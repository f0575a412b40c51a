"""The dead letters of a project: the queues that have some, those of one queue, and what a redrive would move."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError
from kombu_pool.operator.messages import require
from kombu_pool.operator.queues import ask, reason_of
from kombu_pool.operator.summaries import body_summary, reason_name
from kombu_pool.storage.redrive import DeadLetterScan

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from kombu_pool.model import Message, Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.pooling.pool_handle import PoolHandle
    from kombu_pool.storage.redrive import DeadLetterFilter

#: Messages of a queue that are searched for dead letters.
MAX_SEARCHED = 100


@dataclass(frozen=True)
class DeadLetterQueue:
    """A queue that has dead letters among its first messages; ``ready`` counts all that it has.

    ``error``: why the pool did not answer.
    """

    queue: str
    ready: int | None
    origins: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    #: When the last of them died, in seconds since the epoch.
    last: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class DeadLetterRow:
    """A dead letter; ``body`` is its beginning, for a task its name and arguments."""

    id: str
    origin: str
    reason: str
    count: int
    time: float
    body: str


@dataclass(frozen=True)
class RedrivePreview:
    """How many dead letters with one reason a redrive would move to one queue, and whether that exists."""

    to: str
    reason: str
    count: int
    exists: bool


def queues_with_dead_letters(
    store: DataDriver, project: Project, timeout: float | None = None, *, among: Collection[str] | None = None
) -> list[DeadLetterQueue]:
    """Return the queues that have dead letters among their first messages, and those of pools that do not answer.

    ``among``: only these queues are looked at; None is all.
    """
    entries = store.control.catalogue_controller.list(project)
    pool_of = {entry["queue"]: entry["pool"] for entry in entries if among is None or entry["queue"] in among}
    in_pool: dict[str, list[str]] = {}
    for queue, pool in pool_of.items():
        in_pool.setdefault(pool, []).append(queue)
    calls = {pool: partial(_in_pool, project=project, queues=queues) for pool, queues in in_pool.items()}
    answers = ask(store, calls, timeout)
    found: dict[str, DeadLetterQueue | None] = {}
    for pool, answer in answers.items():
        if isinstance(answer, KombuPoolError):
            found.update(
                {queue: DeadLetterQueue(queue, None, error=reason_of(pool, answer)) for queue in in_pool[pool]}
            )
        else:
            found.update(answer)
    return [row for queue in pool_of if (row := found[queue]) is not None]


def _in_pool(pool: PoolHandle, project: Project, queues: Sequence[str]) -> dict[str, DeadLetterQueue | None]:
    return {queue: _queue(pool, project, queue) for queue in queues}


def _queue(pool: PoolHandle, project: Project, queue: str) -> DeadLetterQueue | None:
    try:
        page = list(next(pool.messages.list(queue, project, limit=MAX_SEARCHED, echo=True)))
        headers = [message["dead_letter"] for message in page if "dead_letter" in message]
        if not headers:
            return None
        return DeadLetterQueue(
            queue,
            pool.messages.count(queue, project),
            sorted({header["queue"] for header in headers}),
            sorted({reason_name(header["reason"]) for header in headers}),
            max(header["time"] for header in headers),
        )
    except KombuPoolError as error:
        # An error of one queue must not hide the others.
        return DeadLetterQueue(queue, None, error=mask(str(error)))


def list_dead_letters(store: DataDriver, project: Project, queue: str, limit: int) -> list[DeadLetterRow]:
    """Return the dead letters among the first messages of a queue.

    Raises:
        QueueDoesNotExist: the queue does not exist.
    """
    require(store, project, queue)
    page = next(store.message_controller.list(queue, project, limit=limit, echo=True))
    return [_row(message) for message in page if "dead_letter" in message]


def _row(message: Message) -> DeadLetterRow:
    header = message["dead_letter"]
    reason = header["reason"]
    return DeadLetterRow(
        message["id"], header["queue"], reason_name(reason), header["count"], header["time"],
        body_summary(message["body"], reason),
    )  # fmt: skip


def selected_ids(store: DataDriver, project: Project, queue: str, selection: DeadLetterFilter, limit: int) -> list[str]:
    """Return the ids of the first ``limit`` dead letters of a selection.

    Raises:
        QueueDoesNotExist: the queue does not exist.
    """
    require(store, project, queue)
    messages = chain.from_iterable(DeadLetterScan(store.message_controller, queue, project, selection))
    return [message["id"] for message in islice(messages, limit)]


def preview_redrive(
    store: DataDriver, project: Project, queue: str, target: str | None, selection: DeadLetterFilter, limit: int
) -> list[RedrivePreview]:
    """Return what a redrive would move.

    Raises:
        QueueDoesNotExist: the queue does not exist.
    """
    require(store, project, queue)
    messages = chain.from_iterable(DeadLetterScan(store.message_controller, queue, project, selection))
    headers = (message["dead_letter"] for message in islice(messages, limit or None))
    counts = Counter((target or header["queue"], reason_name(header["reason"])) for header in headers)
    exists = {name: store.queue_controller.exists(name, project) for name, _ in counts}
    return [RedrivePreview(name, reason, count, exists[name]) for (name, reason), count in sorted(counts.items())]
