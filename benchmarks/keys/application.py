"""The Celery application whose tasks record their numbers, and its workers.

The broker comes from the environment, as for ``benchmarks.app``, and so does the folder of the results.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from celery import group

from benchmarks.app import app, settings, stopped
from benchmarks.children import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.brokers import Broker

RECORD, RESULTS = "KOMBU_POOL_BENCHMARKS_RECORD", "KOMBU_POOL_BENCHMARKS_RESULTS"
#: Timeout of whatever should happen at once, and of tasks of which none ends, in seconds.
TIMEOUT = 120
#: Options of a worker that does not look for other workers.
_ALONE = ("--concurrency=1", "--without-mingle", "--without-gossip", "--without-heartbeat", "--loglevel=WARNING")
_NUMBER = struct.Struct("q")
#: Tasks of one group: they reach a pool in few posts.
_GROUP = 500

if RESULTS in os.environ:
    app.conf.update(result_backend=f"file://{os.environ[RESULTS]}", task_ignore_result=False)


def write(number: int) -> None:
    """Record a number, in one write: numbers of several processes never mix."""
    file = os.open(os.environ[RECORD], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, _NUMBER.pack(number))
    os.close(file)


@app.task  # type: ignore[untyped-decorator] # Celery has no types
def note(number: int) -> None:
    """Record the number of this task."""
    write(number)


def key(number: int) -> str:
    """Return the id of the task with a number."""
    return f"task-{number}"


def send(first: int, last: int) -> str:
    """Send the tasks with these numbers in groups."""
    for begin in range(first, last, _GROUP):
        numbers = range(begin, min(begin + _GROUP, last))
        group(note.s(number).set(task_id=key(number)) for number in numbers).apply_async()
    return "sent"


def of(broker: Broker, folder: Path, *, with_results: bool = False) -> dict[str, str]:
    """Return the environment variables of the application."""
    variables = settings(broker, folder) | {RECORD: str(folder / "record")}
    if with_results:
        (folder / "results").mkdir(exist_ok=True)
        variables[RESULTS] = str(folder / "results")
    return variables


def ran(folder: Path) -> Counter[int]:
    """Return how often each number was recorded."""
    record = folder / "record"
    return Counter(number for (number,) in _NUMBER.iter_unpack(record.read_bytes() if record.exists() else b""))


def count(folder: Path) -> int:
    """Return how many numbers were recorded."""
    record = folder / "record"
    return record.stat().st_size // _NUMBER.size if record.exists() else 0


@contextmanager
def workers(
    number: int, variables: Mapping[str, str], folder: Path, module: str = __name__, pool: str = "solo"
) -> Iterator[None]:
    """Run workers within this context; a solo one runs its tasks in its only process."""
    with ExitStack() as stack:
        for each in range(number):
            log = stack.enter_context((folder / f"worker-{each}.log").open("ab"))
            command = [sys.executable, "-m", "celery", "-A", module, "worker", *_ALONE, f"--pool={pool}"]
            process = subprocess.Popen(
                [*command, f"--hostname=worker-{each}@bench"],
                env={**environment(folder), **variables},
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            stack.enter_context(stopped(process))
        yield


def wait_for(tasks: int, folder: Path) -> None:
    """Wait until that many tasks have run, or none has for some time."""
    before, since = -1, time.monotonic()
    while (now := count(folder)) < tasks and time.monotonic() - since < TIMEOUT:
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.02)
