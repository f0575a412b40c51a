"""A sample: the queues of a project, their counters and the pools at one time, and its record in a message."""

from __future__ import annotations

import math
import threading
import zlib
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.errors import CorruptRecord, KombuPoolError
from kombu_pool.operator.moves import MoveRow, list_moves
from kombu_pool.operator.pools import PoolHealth, check_health
from kombu_pool.operator.queues import QueueReport, QueueRow
from kombu_pool.operator.rates import Look, compared, look

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kombu_pool.model import Project
    from kombu_pool.operator.count_budget import CountBudget
    from kombu_pool.pooling import DataDriver

#: Version of the record; a process skips records of another one.
_VERSION = 1
#: Bound of a record before its compression, in bytes: about 200,000 queues.
_MAX_BYTES = 16_000_000
#: The shortest interval of a record, in seconds: processes that read its samples wait for parts of it.
_MIN_INTERVAL = 0.01
#: The fastest level of compression, which makes a record a third as long.
_LEVEL = 1
#: The attributes of a row that the record has as a column, beside its queue, its pool and its error.
_COLUMNS = ("ready", "delayed", "claimed", "oldest_age", "consumers", "exact", "paused")


@dataclass(frozen=True)
class Sample:
    """All queues at one time, Celery's own ones and those for replies too.

    ``at`` is in seconds since the epoch, by the clock of the process that took the sample; the next one is due after
    ``interval`` seconds. ``counters``: those of each queue that has some, by their names. ``pools``: all pools of the
    broker. ``moves``: the queues that are moving from pool to pool.
    """

    at: float
    interval: float
    report: QueueReport
    counters: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    pools: Sequence[PoolHealth] = ()
    moves: Sequence[MoveRow] = field(default_factory=list)

    def since(self, before: Sample, project: Project) -> Sample:
        """Return this sample with the growth and the rates of each queue since an earlier one."""
        if self.at <= before.at:
            return self  # the clocks of two processes differ
        return replace(self, report=compared(_look(before, project), _look(self, project)))


def take(store: DataDriver, project: Project, at: float, interval: float, budget: CountBudget | None = None) -> Sample:
    """Take a sample, within a ``budget``; a pool that does not answer is waited for at most a second.

    Raises as the control store does.
    """
    pools: list[PoolHealth] = []
    # No pool of threads: the interpreter ends those before the daemon thread that calls this.
    asking = threading.Thread(target=_ask_pools, args=(store, pools), name="kombu_pool health", daemon=True)
    asking.start()
    try:
        seen = look(store, project, internal=True, budget=budget)
        moves = list_moves(store, project)
    finally:
        asking.join()
    counters = {queue: counters for (_, queue), counters in seen.counters.items()}
    return Sample(at, interval, seen.report, counters, pools, moves)


def _ask_pools(store: DataDriver, pools: list[PoolHealth]) -> None:
    with suppress(KombuPoolError):  # the control store does not answer, as the look notices too
        pools.extend(check_health(store))


def _look(sample: Sample, project: Project) -> Look:
    counters = {(project, queue): counters for queue, counters in sample.counters.items()}
    return Look(sample.report, counters, project, sample.at)


def encode(sample: Sample) -> bytes:
    """Return the record of a sample: its columns, compressed; without growth and rates.

    Raises:
        MessageTooLarge: it has too many queues.
    """
    rows = sample.report.queues
    pools = sorted({row.pool for row in rows})
    index = {pool: number for number, pool in enumerate(pools)}
    names = sorted({name for counters in sample.counters.values() for name in counters})
    of_queue = [sample.counters.get(row.queue, {}) for row in rows]
    record = {
        "version": _VERSION,
        "at": sample.at,
        "interval": sample.interval,
        "queue": [row.queue for row in rows],
        "pool": [index[row.pool] for row in rows],
        "columns": [[getattr(row, name) for row in rows] for name in _COLUMNS],
        "counters": {name: [counters.get(name, 0) for counters in of_queue] for name in names},
        "pools": pools,
        "unreachable": sample.report.unreachable,
        "health": [list(astuple(pool)) for pool in sample.pools],
        "moves": [list(astuple(move)) for move in sample.moves],
    }
    return zlib.compress(codec.encode(record, _MAX_BYTES), _LEVEL)


def decode(record: object) -> Sample | None:
    """Return the sample of a record; None if another version of this package wrote it.

    Raises:
        CorruptRecord: the record was not written by :func:`encode`.
    """
    try:
        found: Any = codec.decode(zlib.decompress(record))  # type: ignore[arg-type] # a message may hold anything
        if found["version"] != _VERSION:
            return None
        report = QueueReport(list(_rows(found)), unreachable=found["unreachable"])
        counters = dict(zip(found["queue"], _counters(found), strict=True))
        pools = [PoolHealth(*health) for health in found["health"]]
        moves = [MoveRow(*move) for move in found.get("moves", ())]
        times = _finite(found["at"]), _finite(found["interval"], _MIN_INTERVAL)
    except (zlib.error, TypeError, KeyError, IndexError, ValueError) as error:
        raise CorruptRecord(f"{type(error).__name__}: {error}") from error
    return Sample(*times, report, {queue: each for queue, each in counters.items() if each}, pools, moves)


def _finite(value: Any, least: float = 0.0) -> float:
    number = float(value)
    if not least <= number < math.inf:
        raise ValueError(f"a time of {number} s")
    return number


def _rows(found: Mapping[str, Any]) -> Iterable[QueueRow]:
    pools, unreachable = found["pools"], found["unreachable"]
    for queue, number, *values in zip(found["queue"], found["pool"], *found["columns"], strict=True):
        pool = pools[number]
        yield QueueRow(queue, pool, error=unreachable.get(pool), **dict(zip(_COLUMNS, values, strict=True)))


def _counters(found: Mapping[str, Any]) -> Iterable[dict[str, int]]:
    names = list(found["counters"])
    columns = zip(*found["counters"].values(), strict=True) if names else ([] for _ in found["queue"])
    for values in columns:
        yield {name: value for name, value in zip(names, values, strict=True) if value}
