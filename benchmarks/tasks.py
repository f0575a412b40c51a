"""Celery tasks that do nothing, done in a second by one worker with two processes.

The tasks are sent before the worker starts, the same number to both brokers, and the worker is started by the same
command. Each task appends the time to a file; what counts is the time from the first to the last. SQLite waits for the
disk (``FULL``).
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
    """Return how many tasks a worker does in a second."""
    (folder / "messages").mkdir()
    prepared, done = broker(folder), folder / "done"
    ask(app.send, folder, with_environment=app.settings(prepared, folder), tasks=tasks)
    with app.worker(prepared, folder) as process:
        for _ in app.wait_until(done, tasks, process):
            pass
    return pace(done)


def pace(done: Path) -> float:
    """Return the rate from the first task to the last."""
    found = app.moments(done)
    return (len(found) - 1) / (max(found) - min(found))


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure us and the peer."""
    tasks = run.choose(3000, 100)
    samples = run.interleave(
        {"SQLite FULL": partial(rate, brokers.sqlite_full, tasks), PEER: partial(rate, brokers.filesystem, tasks)}
    )
    yield figures.rates("no-op Celery tasks", samples["SQLite FULL"], PEER, samples[PEER], 2.5)


BENCHMARK = Benchmark("tasks", "How many tasks does a Celery worker do in a second?", measure)
