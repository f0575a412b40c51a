"""No-op Celery tasks that one worker with two processes finishes in a second, with Redis.

The tasks are sent before the worker starts, the same number to all brokers, and the worker is started by the same
command. Each task appends the time to a file; the rate is that from the first to the last. The processor time is that
of the worker's main process, which communicates with the broker and distributes the tasks, after the first tenth.
"""

from __future__ import annotations

import os
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import psutil

from benchmarks import app, figures
from benchmarks.children import ask
from benchmarks.contenders import sample
from benchmarks.redis import contenders
from benchmarks.redis.contenders import OURS, RABBITMQ, REDIS
from benchmarks.runs import Benchmark
from benchmarks.tasks import pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.brokers import Broker
    from benchmarks.runs import Run

WARM_UP = 0.1
#: Unit in which the system counts processor time, in seconds; a quick run is shorter than one.
TICK = 1 / os.sysconf("SC_CLK_TCK")


class Work(NamedTuple):
    """Tasks per second of a worker, and microseconds of its main process for each task."""

    rate: float
    cost: float


def work(broker: Callable[[Path], Broker], tasks: int, folder: Path) -> Work:
    """Run a worker until all tasks are finished."""
    prepared, done = broker(folder), folder / "done"
    ask(app.send, folder, with_environment=app.settings(prepared, folder), tasks=tasks)
    with app.worker(prepared, folder) as process:
        main = psutil.Process(process.pid)
        seen = [(count, _seconds(main)) for count in app.wait_until(done, tasks, process) if count >= tasks * WARM_UP]
    (first, before), (last, after) = seen[0], seen[-1]
    return Work(pace(done), 1e6 * max(after - before, TICK) / max(last - first, 1))


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def measure(run: Run) -> Iterator[figures.Figure | figures.LeftOut]:
    """Measure kombu_pool and both peers."""
    tasks = run.choose(5000, 100)
    with run.fresh() as folder, contenders.rabbitmq(folder) as url:
        subjects = {
            OURS: partial(sample, contenders.pool_redis, work, tasks),
            REDIS: partial(sample, contenders.redis, work, tasks),
        }
        if url:
            subjects[RABBITMQ] = partial(sample, contenders.amqp(url), work, tasks)
        samples = run.interleave(subjects)
    rates = {name: [each.rate for each in found] for name, found in samples.items()}
    yield contenders.compared("no-op Celery tasks, Redis", rates, REDIS, 1.5)
    yield contenders.compared("no-op Celery tasks, Redis", rates, RABBITMQ, 1)
    yield _cost("processor of a worker's main process for a task, Redis", samples)


def _cost(what: str, samples: Mapping[str, Sequence[Work]]) -> figures.Figure | figures.LeftOut:
    if RABBITMQ not in samples:
        return figures.LeftOut(what, f"no {RABBITMQ} here")
    ours, theirs = ([each.cost for each in samples[name]] for name in (OURS, RABBITMQ))
    mine, other = (f"{median(costs):,.0f} µs" for costs in (ours, theirs))
    return figures.Figure(what, mine, f"{RABBITMQ} {other}", figures.ratio(ours, theirs), 1, at_most=True)


BENCHMARK = Benchmark("redis-tasks", "How many tasks does a Celery worker finish in a second on Redis?", measure)
