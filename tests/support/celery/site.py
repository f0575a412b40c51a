"""A broker, a folder and an application of one's own, with the workers that belong to them."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery.exceptions import TimeoutError as CeleryTimeoutError

import kombu_pool
from tests.support.celery.application import BROKER, EVERYBODY, FOLDER, SETTINGS, application, queues
from tests.support.celery.task_journal import Journal
from tests.support.celery.worker import ALONE, CELERY, SOON, Process, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery.app.control import Inspect
    from celery.result import ResultBase

    from kombu_pool.pooling import DataDriver

ROOT = Path(__file__).parents[3]
#: Characters of a log's end that are told of.
_TOLD = 5000


class Site:
    """Where one test, or all tests of a module, let Celery work."""

    def __init__(self, folder: Path, broker: str, **settings: Any) -> None:
        self.folder = folder
        self.broker = broker
        self.settings = settings
        self.app = application(broker, folder, **settings)
        self.journal = Journal(folder / "journal")
        self._numbers = itertools.count(1)
        self._processes: list[Process] = []

    def environment(self, **settings: Any) -> dict[str, str]:
        return os.environ | {
            BROKER: self.broker,
            FOLDER: str(self.folder),
            SETTINGS: json.dumps(self.settings | settings),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
        }

    # Processes.

    def worker(self, *arguments: str, name: str | None = None, ready: bool = True, **settings: Any) -> Worker:
        """Start a worker; it is killed with the site unless somebody stopped it."""
        number = next(self._numbers)
        worker = Worker(
            self.folder / f"worker-{number}.log", self.environment(**settings), name or f"worker-{number}", *arguments
        )
        self._processes.append(worker)
        return worker.ready() if ready else worker

    def lone_worker(self, *arguments: str, **options: Any) -> Worker:
        """Start a worker that looks for no neighbours."""
        return self.worker(*ALONE, *arguments, **options)

    def start(self, *arguments: str) -> Process:
        """Start another command that runs until it is stopped."""
        process = Process(self.folder / f"command-{next(self._numbers)}.log", self.environment(), *arguments)
        self._processes.append(process)
        return process

    def run(self, *arguments: str, typed: str = "", code: int = 0) -> str:
        """Run a command with the input ``typed`` until it ends with ``code``; return what it printed."""
        done = subprocess.run(
            [*CELERY, *arguments],
            env=self.environment(),
            cwd=self.folder,
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def pids(self) -> set[int]:
        """Return the processes that were started here."""
        return {process.pid for process in self._processes}

    def close(self) -> None:
        for process in self._processes:
            process.close()
        # Kombu's pools outlive the application, and would keep their connections to a broker that is gone.
        for pool in (self.app.producer_pool, self.app.pool):
            pool.force_close_all()
        self.app.close()

    # Tasks.

    def tell_everybody(self) -> None:
        """Let workers that start from now on, and the application, know a queue of which each has a copy."""
        self.settings[EVERYBODY] = True
        self.app.conf.task_queues = queues()

    def send(self, task: str, *arguments: Any, **options: Any) -> Any:
        """Send a task by its name."""
        return self.app.tasks[task].apply_async(arguments, **options)

    def signature(self, task: str, *arguments: Any, **options: Any) -> Any:
        return self.app.tasks[task].s(*arguments).set(**options)

    def answer(self, result: ResultBase) -> Any:
        """Wait for a result; Celery's file backend has to be asked again and again."""
        try:
            return result.get(timeout=SOON, interval=0.02, disable_sync_subtasks=False)
        except CeleryTimeoutError:
            logs = "\n".join(f"{process.log_file.name}:\n{process.log[-_TOLD:]}" for process in self._processes)
            raise AssertionError(f"no answer for {result} within {SOON} s; what was said last:\n{logs}") from None

    def inspect(self, *workers: Worker) -> Inspect:
        """Ask these workers only, so that nobody waits for the answers of others."""
        return self.app.control.inspect(destination=[worker.name for worker in workers], timeout=SOON)

    # The store.

    @contextmanager
    def store(self, broker: str | None = None) -> Iterator[DataDriver]:
        with closing(kombu_pool.open(broker or self.broker)) as driver:
            yield driver

    def queues(self) -> list[str]:
        with self.store() as store:
            return [queue["name"] for queue in next(store.queue_controller.list(limit=0))]

    def counts(self, queue: str = "celery", broker: str | None = None) -> tuple[int, int]:
        """Return how many messages of the queue are free (delayed ones too), and how many are claimed."""
        with self.store(broker) as store:
            messages = store.queue_controller.stats(queue)["messages"]
        return messages["free"], messages["claimed"]
