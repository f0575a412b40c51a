"""The Celery application of the tests, of their workers and of their commands."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject
from kombu import Queue
from kombu.common import Broadcast

from tests.support.celery.project_settings import PROJECT, PROJECTS
from tests.support.celery.task_journal import TaskJournal

#: Environment variables with the broker URL, the folder and the settings.
BROKER, FOLDER, SETTINGS = "TESTED_BROKER", "TESTED_FOLDER", "TESTED_SETTINGS"
#: The broadcast queue, of which each worker has its own copy; also the setting that adds it.
BROADCAST = "broadcast"
#: A queue with a delivery limit and its dead-letter queue; ``LIMITED`` is also the setting that adds it, the limit.
LIMITED, DEAD = "limited", "dead"


def journal() -> TaskJournal:
    return TaskJournal(Path(os.environ[FOLDER], "journal"))


def add(x: int, y: int) -> int:
    return x + y


def total(numbers: list[int]) -> int:
    return sum(numbers)


def fail(text: str) -> None:
    raise ValueError(text)


def third_time(self: Task) -> int:
    """Succeed at the third try.

    Celery stores the state RETRY only after it sent the next try, which must not succeed before that.
    """
    if self.request.retries < 2:
        raise self.retry(countdown=0.5)
    return self.request.retries


def note(text: str) -> str:
    journal().write(text)
    return text


def when() -> float:
    return time.time()


def process() -> int:
    return os.getpid()


def work(name: str, seconds: float) -> str:
    """Write the begin and the end of the task to the journal."""
    journal().write(f"begin {name}")
    time.sleep(seconds)
    journal().write(f"end {name}")
    return name


def wait_for(name: str, file: str) -> str:
    """Write the begin and the end to the journal; end once the file exists."""
    journal().write(f"begin {name}")
    while not Path(os.environ[FOLDER], file).exists():
        time.sleep(0.02)
    journal().write(f"end {name}")
    return name


def kill_once(name: str) -> str:
    """Kill the task's own process at the first run."""
    first = not journal().pids(f"begin {name}")
    journal().write(f"begin {name}")
    if first:
        os.kill(os.getpid(), signal.SIGKILL)
    return name


def reject(text: str, requeue: bool) -> None:
    """Reject the message."""
    raise Reject(text, requeue=requeue)


def reject_until(self: Task, file: str, history: list[Any] | None = None) -> list[Any]:
    """Reject the message until the file exists; then retry once, and return the deaths and the routing key."""
    if not Path(os.environ[FOLDER], file).exists():
        raise Reject(file, requeue=False)
    if history is None:
        deaths = [(death["queue"], death["reason"], death["count"]) for death in self.request.get("x-death")]
        raise self.retry(args=[file, [deaths, self.request.delivery_info["redelivered"]]], countdown=0)
    return [*history, self.request.delivery_info["routing_key"]]


def delivery(self: Task) -> dict[str, Any]:
    """Return the delivery information of the task."""
    return dict(self.request.delivery_info)


PLAIN = (add, total, fail, note, when, process, work, wait_for)
BOUND = (third_time, delivery)
LATE = (kill_once, reject)
LATE_BOUND = (reject_until,)


def queues() -> list[Queue]:
    return [Queue("celery"), Broadcast(BROADCAST)]


def limited_queues(limit: int) -> list[Queue]:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD, "x-delivery-limit": limit}
    return [Queue("celery"), Queue(LIMITED, queue_arguments=arguments)]


def application(broker: str, folder: Path, **settings: Any) -> Celery:
    """Return the application of one test or one process."""
    results = folder / "results"
    results.mkdir(exist_ok=True)
    backend = f"tests.support.celery.file_results:AtomicFilesystemBackend+{results.as_uri()}"
    app = Celery("tested", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(
        broker_connection_retry_on_startup=True,
        result_chord_retry_interval=0.1,
        worker_hijack_root_logger=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    if settings.pop(BROADCAST, False):
        app.conf.task_queues = queues()
    project = settings.pop(PROJECT, None)
    if project is not None:
        app.conf.update(PROJECTS[project].settings)
    limit = settings.pop(LIMITED, None)
    if limit is not None:
        app.conf.task_queues = limited_queues(limit)
    app.conf.update(settings)
    for function in PLAIN:
        app.task(name=function.__name__)(function)
    for function in BOUND:
        app.task(name=function.__name__, bind=True, max_retries=5)(function)
    for function in LATE:
        app.task(name=function.__name__, acks_late=True, reject_on_worker_lost=True)(function)
    for function in LATE_BOUND:
        app.task(name=function.__name__, bind=True, acks_late=True)(function)
    app.task(name="note_unanswered", ignore_result=True)(note)
    app.task(name="work_late", acks_late=True)(work)
    app.task(name="wait_late", acks_late=True)(wait_for)
    app.finalize()
    return app


def __getattr__(name: str) -> Celery:
    """Create ``app`` from the environment, for ``celery -A``."""
    if name not in ("app", "celery"):
        raise AttributeError(name)
    settings = json.loads(os.environ[SETTINGS])
    made = globals()["app"] = globals()["celery"] = application(
        os.environ[BROKER], Path(os.environ[FOLDER]), **settings
    )
    return made
