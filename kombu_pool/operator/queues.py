"""The queues of a project: their messages by state, their age and their consumers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError, QueueDoesNotExist
from kombu_pool.pooling import ask_pools
from kombu_pool.pooling.moving.assignments import source_of
from kombu_pool.storage import CONTROL_POOL
from kombu_pool.storage.inspection import MAX_COUNTED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from kombu_pool.model import Project, QueueCounts
    from kombu_pool.operator.count_budget import CountBudget
    from kombu_pool.pooling import DataDriver
    from kombu_pool.pooling.pool_handle import PoolHandle

T = TypeVar("T")

#: How long a pool may take to answer anything, in seconds.
POOL_TIMEOUT = 1.0
#: Queues of Celery's remote control, events and results, and of programs that name none.
_INTERNAL = re.compile(
    r".*\.pidbox|celeryev\..*|amq\..*|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|kombu_pool\.(?!dead_letters|unreadable).*"
)


@dataclass(frozen=True)
class QueueRow:
    """A queue; a count is None if its pool did not answer, ``error`` is the reason."""

    queue: str
    pool: str
    ready: int | None
    delayed: int | None
    claimed: int | None
    #: Age of the oldest ready message, in seconds.
    oldest_age: float | None
    consumers: int
    #: False if a count is a lower bound.
    exact: bool = True
    #: Messages a second by which the queue grew between two looks; None after one look.
    growth: float | None = None
    #: Messages a second that were published, and that were settled or died, between two looks.
    rate_in: float | None = None
    rate_out: float | None = None
    error: str | None = None
    #: Whether its consumers get nothing until it is resumed.
    paused: bool = False

    @property
    def total(self) -> int | None:
        """The number of its messages."""
        counts = (self.ready, self.delayed, self.claimed)
        return None if None in counts else sum(count or 0 for count in counts)


@dataclass(frozen=True)
class QueueTotals:
    """The sums over the queues whose pools answer."""

    queues: int = 0
    ready: int = 0
    delayed: int = 0
    claimed: int = 0
    consumers: int = 0
    exact: bool = True

    @classmethod
    def of(cls, rows: Sequence[QueueRow]) -> QueueTotals:
        """Return the sums."""
        return cls(
            len(rows),
            sum(row.ready or 0 for row in rows),
            sum(row.delayed or 0 for row in rows),
            sum(row.claimed or 0 for row in rows),
            sum(row.consumers for row in rows),
            all(row.exact and row.error is None for row in rows),
        )


@dataclass(frozen=True)
class QueueReport:
    """The queues that were asked for, how many others are hidden, and why some pools did not answer."""

    queues: list[QueueRow]
    hidden: int = 0
    unreachable: dict[str, str] = field(default_factory=dict)

    @property
    def totals(self) -> QueueTotals:
        """The sums over the queues."""
        return QueueTotals.of(self.queues)


def is_internal(queue: str, pool: str) -> bool:
    """Return whether a queue is one of Celery's own, or one for replies."""
    return pool == CONTROL_POOL or _INTERNAL.fullmatch(queue) is not None


def list_queues(
    store: DataDriver,
    project: Project,
    *,
    names: Collection[str] | None = None,
    patterns: Collection[str] = (),
    pools: Collection[str] = (),
    internal: bool = False,
    timeout: float | None = None,
    budget: CountBudget | None = None,
) -> QueueReport:
    """Return the queues, by name: of these ``names``, or that match a pattern; and in one of the ``pools``.

    Celery's own queues and those for replies are hidden, unless they are ``internal`` or asked for. With a ``budget``
    the counts of some queues may be those of an earlier look.
    """
    entries = store.control.catalogue_controller.list(project)
    wanted = {entry["queue"]: entry["pool"] for entry in entries if _is_wanted(entry["queue"], names, patterns)}
    if pools:
        wanted = {queue: pool for queue, pool in wanted.items() if pool in pools}
    shown = wanted
    if not internal and names is None and not patterns:
        shown = {queue: pool for queue, pool in wanted.items() if not is_internal(queue, pool)}
    rows, unreachable = _rows(store, project, shown, timeout, budget)
    return QueueReport(rows, len(wanted) - len(shown), unreachable)


def _is_wanted(queue: str, names: Collection[str] | None, patterns: Collection[str]) -> bool:
    if names is not None:
        return queue in names
    return not patterns or any(queue == pattern or fnmatchcase(queue, pattern) for pattern in patterns)


def _rows(
    store: DataDriver, project: Project, pool_of: dict[str, str], timeout: float | None, budget: CountBudget | None
) -> tuple[list[QueueRow], dict[str, str]]:
    sources = moving_sources(store, project)
    pools_of = {queue: [pool, sources[queue]] if queue in sources else [pool] for queue, pool in pool_of.items()}
    in_pool: dict[str, list[str]] = {}
    for queue, pools in pools_of.items():
        for pool in pools:
            in_pool.setdefault(pool, []).append(queue)
    questions = {
        pool: partial(_count, project=project, queues=queues, budget=budget) for pool, queues in in_pool.items()
    }
    answers = ask(store, questions, timeout)
    consumers = store.control.consumers_controller.count_many([(project, queue) for queue in pool_of])
    rows = [
        _row(queue, pools[0], {pool: answers[pool] for pool in pools}, consuming)
        for (queue, pools), consuming in zip(pools_of.items(), consumers, strict=True)
    ]
    errors = {pool: answer for pool, answer in answers.items() if isinstance(answer, KombuPoolError)}
    return rows, {pool: reason_of(pool, error) for pool, error in errors.items()}


def reason_of(pool: str, error: KombuPoolError) -> str:
    """Return why a pool does not tell something, with its name and without passwords."""
    reason = mask(str(error))
    return reason if repr(pool) in reason else f"Pool {pool!r}: {reason}"


def ask(
    store: DataDriver, questions: Mapping[str, Callable[[PoolHandle], T]], timeout: float | None
) -> dict[str, T | KombuPoolError]:
    """Ask pools as :func:`~kombu_pool.pooling.ask_pools` does; without a timeout, for ``POOL_TIMEOUT``."""
    return ask_pools(store, questions, POOL_TIMEOUT if timeout is None else timeout)


def require_answer(store: DataDriver, project: Project, queue: str) -> None:
    """Return once the pool of a queue has answered, within ``POOL_TIMEOUT``.

    Raises:
        QueueDoesNotExist: the queue does not exist.
        KombuPoolError: the pool does not answer.
    """
    pool = store.catalog.pool_of(queue, project)
    if pool is None:
        raise QueueDoesNotExist(queue, project)
    answer = ask(store, {pool: lambda _: None}, None)[pool]
    if isinstance(answer, KombuPoolError):
        raise answer


def _count(
    pool: PoolHandle, project: Project, queues: Sequence[str], budget: CountBudget | None
) -> Mapping[str, QueueCounts | None]:
    if budget is not None:
        return budget.count(pool, project, queues, MAX_COUNTED)
    counts = pool.messages.count_many([(project, queue) for queue in queues], MAX_COUNTED)
    return dict(zip(queues, counts, strict=True))


def moving_sources(store: DataDriver, project: Project) -> dict[str, str]:
    """Return the pools from which queues are moving, by queue: they hold messages beside the pool of the queue."""
    moving = ((of, queue, source_of(found)) for of, queue, found in store.catalog.moves.all())
    return {queue: source[0] for of, queue, source in moving if of == project and source is not None}


def _row(
    queue: str, pool: str, answers: Mapping[str, Mapping[str, QueueCounts | None] | KombuPoolError], consuming: int
) -> QueueRow:
    """Return the row of a queue, whose messages are in the pools that were asked."""
    present = []
    for asked, answer in answers.items():
        if isinstance(answer, KombuPoolError):
            return QueueRow(queue, pool, None, None, None, None, consuming, error=reason_of(asked, answer))
        if (counts := answer[queue]) is not None:
            present.append(counts)
    if not present:
        # Assigned, and not created in its pool yet: the first use does that.
        return QueueRow(queue, pool, 0, 0, 0, None, consuming)
    free, delayed, claimed, ages, exact, paused = zip(*present, strict=True)
    age = max((round(age, 3) for age in ages if age is not None), default=None)
    return QueueRow(queue, pool, sum(free), sum(delayed), sum(claimed), age, consuming, all(exact), paused=any(paused))
