"""Processor time of a worker's main process for a no-op Celery task, on each store and on RabbitMQ.

The tasks are sent before the worker starts; it has two processes and Celery's own settings. The time is user and system
time of the main process, which communicates with the broker and distributes the tasks, after the first tenth of the
tasks; SQLite waits for the disk (``FULL``). ``python -m benchmarks.workers`` prints the table.
"""

from __future__ import annotations

import sys
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import progress, servers
from benchmarks.contenders import sample
from benchmarks.figures import ratio
from benchmarks.mongodb.contenders import pool_mongodb
from benchmarks.redis import contenders as on_redis
from benchmarks.redis.tasks import work
from benchmarks.runs import Run
from benchmarks.writers import sqlite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.contenders import Contender
    from benchmarks.redis.tasks import Work

HEADINGS = ("broker", "main process for a task", "compared with RabbitMQ", "tasks")


def contenders(amqp: str | None) -> dict[str, Contender]:
    """Return the brokers that can be measured here."""
    found: dict[str, Contender] = {"SQLite": partial(sqlite, "FULL")}
    if servers.has_redis():
        found |= {"Redis": on_redis.pool_redis, on_redis.REDIS: on_redis.redis}
    if servers.has_mongodb():
        found["MongoDB"] = pool_mongodb
    if amqp:
        found[on_redis.RABBITMQ] = on_redis.amqp(amqp)
    return found


def measured(run: Run) -> dict[str, list[Work]]:
    """Measure all brokers; return the samples of each."""
    tasks = run.choose(5000, 100)
    with run.fresh() as folder, on_redis.rabbitmq(folder) as amqp:
        return run.interleave(
            {name: partial(sample, contender, work, tasks) for name, contender in contenders(amqp).items()}
        )


def table(samples: Mapping[str, Sequence[Work]]) -> str:
    """Return the medians as a Markdown table."""
    costs = {name: [each.cost for each in taken] for name, taken in samples.items()}
    peer = costs.get(on_redis.RABBITMQ)
    rows = [HEADINGS, ("---",) * len(HEADINGS)]
    for name, taken in samples.items():
        compared = f"{ratio(costs[name], peer):.2f} x" if peer else "not installed"
        rows.append((name, f"{median(costs[name]):,.0f} µs", compared, f"{median(each.rate for each in taken):,.0f}/s"))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> None:
    """Print the table; ``--quick`` only checks that it can be made."""
    with progress.display(1) as display:
        display.begin("workers")
        print(table(measured(Run(display, quick="--quick" in sys.argv))))


if __name__ == "__main__":
    main()
