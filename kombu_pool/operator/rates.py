"""How quickly queues grow, and what goes in and out: the difference between two looks."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool.operator.queues import list_queues
from kombu_pool.storage.counters import Counter
from kombu_pool.storage.dead_letters import DeadLetterReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.model import Project
    from kombu_pool.operator.queues import QueueReport, QueueRow
    from kombu_pool.pooling import DataDriver

    Counters = Mapping[tuple[Project, str], Mapping[str, int]]

#: Counters of messages that came in, and of those that went out for good.
_IN = (Counter.PUBLISHED,)
_OUT = (
    Counter.ACKED,
    Counter.REJECTED,
    Counter.dead_lettered(DeadLetterReason.EXPIRED),
    Counter.dead_lettered(DeadLetterReason.MAX_LENGTH),
)


class Look(NamedTuple):
    """The queues, their counters, and the monotonic time."""

    report: QueueReport
    counters: Counters
    project: Project
    at: float


def look(store: DataDriver, project: Project, **chosen: Any) -> Look:
    """Look at queues; ``chosen`` is what :func:`~kombu_pool.operator.queues.list_queues` takes."""
    report = list_queues(store, project, **chosen)
    counters = store.control.counters([(project, row.queue) for row in report.queues])
    return Look(report, counters, project, time.monotonic())


def compared(before: Look, after: Look) -> QueueReport:
    """Return the later report with the growth and the rates of each queue since the earlier one."""
    earlier = {(row.queue, row.pool): row for row in before.report.queues}
    seconds = max(after.at - before.at, 1e-3)
    rows = []
    for row in after.report.queues:
        old, scope = earlier.get((row.queue, row.pool)), (after.project, row.queue)
        if old is None:
            rows.append(row)
            continue
        counters = before.counters.get(scope, {}), after.counters.get(scope, {})
        rates = [_rate(*counters, names, seconds) for names in (_IN, _OUT)]
        rows.append(replace(row, growth=_growth(old, row, seconds), rate_in=rates[0], rate_out=rates[1]))
    return replace(after.report, queues=rows)


def _growth(before: QueueRow, after: QueueRow, seconds: float) -> float | None:
    if before.total is None or after.total is None or not (before.exact and after.exact):
        return None
    return round((after.total - before.total) / seconds, 2)


def _rate(before: Mapping[str, int], after: Mapping[str, int], names: tuple[str, ...], seconds: float) -> float:
    # The counters begin again when a queue is deleted and created.
    more = sum(max(after.get(name, 0) - before.get(name, 0), 0) for name in names)
    return round(more / seconds, 2)
