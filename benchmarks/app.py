"""The Celery application of the benchmarks, on the broker that the environment names, and a worker for it."""

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
_MOMENT = struct.Struct("d")

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
    """Do nothing but say when."""
    os.write(_done(), _MOMENT.pack(time.monotonic()))


_files: dict[int, int] = {}


def _done() -> int:
    """The file that all processes append to; each has it open once."""
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


def moments(done: Path) -> list[float]:
    """Return when tasks were done, in no certain order."""
    record = done.read_bytes() if done.exists() else b""
    return [moment for (moment,) in _MOMENT.iter_unpack(record[: len(record) // _MOMENT.size * _MOMENT.size])]


def count(done: Path) -> int:
    """Return how many tasks were done."""
    return done.stat().st_size // _MOMENT.size if done.exists() else 0


def settings(broker: Broker, folder: Path) -> dict[str, str]:
    """What the environment says to the application."""
    return {BROKER: json.dumps(broker), DONE: str(folder / "done")}


@contextmanager
def worker(broker: Broker, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a prefork worker while the block runs."""
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
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes], patience: float = 20) -> None:
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(done: Path, tasks: int, process: subprocess.Popen[bytes], pause: float = 0.05) -> Iterator[int]:
    """Yield how many tasks are done, now and then, until all are.

    Raises:
        SystemExit: the worker ended, or did nothing for a minute.
    """
    seen, since = 0, time.monotonic()
    while (found := count(done)) < tasks:
        if found != seen:
            seen, since = found, time.monotonic()
        if process.poll() is not None or time.monotonic() - since > 60:
            raise SystemExit(f"The worker did {found} of {tasks} tasks:\n{(done.parent / 'worker.log').read_text()}")
        yield found
        time.sleep(pause)
    yield tasks
