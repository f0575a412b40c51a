"""A Celery worker for the other examples, in a child process that ends with the ``with`` block."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

HERE = Path(__file__).parent


@contextmanager
def worker(app: Celery, module: str, log: Path, *arguments: str, timeout: float = 30) -> Iterator[None]:
    """Run ``celery -A module worker`` within this context, with its log in a file."""
    command = [sys.executable, "-m", "celery", "-A", module, "worker", "--loglevel=INFO", *arguments]
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=os.environ | {"PYTHONPATH": path},
            cwd=log.parent,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_for(app, process, log, timeout)
        yield
    finally:
        _stop(process)


def _wait_for(app: Celery, process: subprocess.Popen[bytes], log: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not app.control.ping(timeout=0.5):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"The worker did not start:\n{log.read_text()}")


def _stop(process: subprocess.Popen[bytes], timeout: float = 15) -> None:
    process.terminate()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
