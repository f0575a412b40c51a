"""No-op Celery tasks that one worker with two processes finishes in a second, with MongoDB.

The tasks are sent before the worker starts, the same number to both brokers, and the worker is started by the same
command. Each task appends the time to a file; the measurement is the time from the first to the last. It is made with
few tasks, which end within seconds, and with many: a server of a replica set keeps deleted index entries for minutes,
and a scan for the next message must not pass all of them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks import figures
from benchmarks.contenders import sample
from benchmarks.mongodb import contenders
from benchmarks.mongodb.contenders import OURS, PEER
from benchmarks.runs import Benchmark
from benchmarks.tasks import rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.runs import Run


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure kombu_pool and the peer."""
    for tasks in run.choose((3000, 10_000), (50, 100)):
        samples = run.interleave(
            {
                OURS: partial(sample, contenders.pool_mongodb, rate, tasks),
                PEER: partial(sample, contenders.mongodb, rate, tasks),
            }
        )
        yield figures.rates(f"{tasks:,} no-op Celery tasks, MongoDB", samples[OURS], PEER, samples[PEER], 2)


BENCHMARK = Benchmark("mongodb-tasks", "How many tasks does a Celery worker finish in a second on MongoDB?", measure)
