"""The tasks of the chaos scenarios: each writes its begin, its end and its worker to the journal."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from celery import shared_task

from tests.support.celery.application import FOLDER, journal

if TYPE_CHECKING:
    from celery import Task

WORK, HELD, POISON = "chaos.work", "chaos.held", "chaos.poison"


def _write(event: str, task: Task) -> None:
    journal().write(f"{event} {task.request.id} {os.getppid()}")


@shared_task(bind=True, name=WORK, acks_late=True, reject_on_worker_lost=True)
def work(self: Task, seconds: float = 0.0) -> None:
    """Sleep."""
    _write("begin", self)
    if seconds:
        time.sleep(seconds)
    _write("end", self)


@shared_task(bind=True, name=HELD, acks_late=True)
def held(self: Task) -> None:
    """Wait until there is a file with the worker's name; record the worker by its name."""
    name = self.request.hostname
    journal().write(f"begin {self.request.id} {name}")
    while not Path(os.environ[FOLDER], f"open-{name}").exists():
        time.sleep(0.02)
    journal().write(f"end {self.request.id} {name}")


@shared_task(bind=True, name=POISON, acks_late=True, reject_on_worker_lost=True)
def poison(self: Task) -> None:
    """Kill the whole worker: its main process first, which could release the message."""
    _write("begin", self)
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
