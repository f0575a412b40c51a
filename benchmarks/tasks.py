"""No-op Celery tasks that one worker with two processes finishes in a second.

The tasks are sent before the worker starts, the same number to both brokers, and the worker is started by the same
command. Each task appends the time to a file; the measurement is the time from the first to the last. SQLite waits for
the disk (``FULL``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks import app, brokers, figures
from benchmarks.children import ask
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.runs import Run

PEER = "filesystem"


def rate(broker: Callable[[Path], brokers.Broker], tasks: int, folder: Path) -> float:
    """Return how many tasks a worker finishes in a second."""
    (folder / "messages").mkdir()
    prepared, done = broker(folder), folder / "done"
    ask(app.send, folder, with_environment=app.settings(prepared, folder), tasks=tasks)
    with app.worker(prepared, folder) as process:
        for _ in app.wait_until(done, tasks, process):
            pass
    return pace(done)


def pace(done: Path) -> float:
    """Return the rate from the first task to the last."""
    times = app.end_times(done)
    return (len(times) - 1) / (max(times) - min(times))


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure kombu_pool and the peer."""
    tasks = run.choose(3000, 100)
    samples = run.interleave(
        {"SQLite FULL": partial(rate, brokers.sqlite_full, tasks), PEER: partial(rate, brokers.filesystem, tasks)}
    )
    yield figures.rates("no-op Celery tasks", samples["SQLite FULL"], PEER, samples[PEER], 2.5)


BENCHMARK = Benchmark("tasks", "How many tasks does a Celery worker finish in a second?", measure)
