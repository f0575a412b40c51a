"""The Celery application of the benchmarks, with the broker from the environment, and its worker."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from celery import Celery

from benchmarks.brokers import Broker
from benchmarks.children import environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BROKER, DONE = "KOMBU_POOL_BENCHMARKS_BROKER", "KOMBU_POOL_BENCHMARKS_DONE"
CONCURRENCY = 2
_TIMESTAMP = struct.Struct("d")

_broker = Broker(*json.loads(os.environ.get(BROKER, '["memory://", {}]')))
app = Celery("benchmarks", broker=_broker.url)
app.conf.update(
    broker_transport_options=_broker.options,
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_hijack_root_logger=False,
)


@app.task  # type: ignore[untyped-decorator] # Celery has no types
def noop() -> None:
    """Record the time."""
    os.write(_done(), _TIMESTAMP.pack(time.monotonic()))


_files: dict[int, int] = {}


def _done() -> int:
    """Return the file that all processes append to; each process opens it once."""
    pid = os.getpid()
    if pid not in _files:
        _files[pid] = os.open(os.environ[DONE], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return _files[pid]


def send(tasks: int) -> str:
    """Send tasks."""
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(tasks):
            noop.apply_async(producer=producer)
    return "sent"


def end_times(done: Path) -> list[float]:
    """Return the end times of the tasks, in no particular order."""
    record = done.read_bytes() if done.exists() else b""
    return [end for (end,) in _TIMESTAMP.iter_unpack(record[: len(record) // _TIMESTAMP.size * _TIMESTAMP.size])]


def count(done: Path) -> int:
    """Return the number of finished tasks."""
    return done.stat().st_size // _TIMESTAMP.size if done.exists() else 0


def settings(broker: Broker, folder: Path) -> dict[str, str]:
    """Return the environment variables of the application."""
    return {BROKER: json.dumps(broker), DONE: str(folder / "done")}


@contextmanager
def worker(broker: Broker, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a prefork worker within this context."""
    command = [sys.executable, "-m", "celery", "-A", __name__, "worker", "--pool=prefork", "--loglevel=WARNING"]
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--concurrency={CONCURRENCY}"],
            env=environment(folder) | settings(broker, folder),
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    with stopped(process):
        yield process


@contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Stop a process at the end of this context."""
    try:
        yield
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes], timeout: float = 20) -> None:
    process.terminate()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(done: Path, tasks: int, process: subprocess.Popen[bytes], pause: float = 0.05) -> Iterator[int]:
    """Yield the number of finished tasks repeatedly, until all are finished.

    Raises:
        SystemExit: the worker ended, or finished no task for a minute.
    """
    count_before, since = 0, time.monotonic()
    while (finished := count(done)) < tasks:
        if finished != count_before:
            count_before, since = finished, time.monotonic()
        if process.poll() is not None or time.monotonic() - since > 60:
            raise SystemExit(
                f"The worker finished {finished} of {tasks} tasks:\n{(done.parent / 'worker.log').read_text()}"
            )
        yield finished
        time.sleep(pause)
    yield tasks
