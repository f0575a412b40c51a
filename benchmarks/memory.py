"""The memory growth of a producer, a consumer and a Celery worker over many messages.

One producer publishes a million messages and one consumer acknowledges them. The growth of the worker is that of all
its processes together. The growth is the largest resident memory after a tenth of the messages, minus that at this
tenth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from benchmarks import app, brokers, figures, traffic
from benchmarks.children import Child
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.runs import Run

TARGET = 10


def worker_growth(folder: Path, tasks: int) -> float:
    """Return the growth of a worker, in mebibytes."""
    broker = brokers.sqlite_normal(folder)
    warm_up = tasks * traffic.WARM_UP
    sender = Child(app.send, folder, with_environment=app.settings(broker, folder), tasks=tasks)
    with sender, app.worker(broker, folder) as process:
        counts = app.wait_until(folder / "done", tasks, process, pause=0.5)
        sizes = [_resident(process.pid) for count in counts if count >= warm_up]
    return (max(sizes) - sizes[0]) / traffic.MEBIBYTE


def _resident(pid: int) -> int:
    parent = psutil.Process(pid)
    return sum(process.memory_info().rss for process in [parent, *parent.children(recursive=True)])


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure all three."""
    messages, tasks = run.choose(1_000_000, 5000), run.choose(100_000, 200)
    with run.progress.steps(2) as step:
        step(f"{messages:,} messages")
        with run.fresh() as folder:
            seen = traffic.flow(folder, messages, producers=1, consumers=1)
        step(f"{tasks:,} tasks")
        with run.fresh() as folder:
            worker = worker_growth(folder, tasks)
    yield _figure("producer", f"{messages:,} messages", seen.producer_growth)
    yield _figure("consumer", f"{messages:,} messages", seen.consumer_growth)
    yield _figure("worker", f"{tasks:,} tasks", worker)


def _figure(process: str, load: str, growth: float) -> figures.Figure:
    what = f"memory, growth of a {process} over {load}"
    return figures.Figure(what, f"{growth:.1f} MB", "", round(growth, 1), TARGET, "MB", at_most=True)


BENCHMARK = Benchmark("memory", "Does a process grow with the number of messages that it handles?", measure)
