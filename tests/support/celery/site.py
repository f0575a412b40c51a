"""A private broker, folder and Celery application, with the workers started for them."""

from __future__ import annotations

import itertools
import json
import os
import signal
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from celery.exceptions import TimeoutError as CeleryTimeoutError

import kombu_pool
from tests.support.celery.application import BROADCAST, BROKER, FOLDER, SETTINGS, application, queues
from tests.support.celery.closing_pools import close_pools
from tests.support.celery.task_journal import TaskJournal
from tests.support.celery.worker import ALONE, Process, Worker, start
from tests.support.limits import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery.app.control import Inspect
    from celery.result import ResultBase

    from kombu_pool.pooling import DataDriver

ROOT = Path(__file__).parents[3]
#: Characters of the end of a log that an error shows.
_LOG_TAIL = 5000


class Site:
    """The Celery deployment of one test, or of all tests of a module."""

    def __init__(self, folder: Path, broker: str, **settings: Any) -> None:
        self.folder = folder
        self.broker = broker
        self.settings = settings
        self.app = application(broker, folder, **settings)
        self.journal = TaskJournal(folder / "journal")
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
        """Start a worker; the site kills it if it is still running at the end."""
        number = next(self._numbers)
        worker = Worker(
            self.folder / f"worker-{number}.log", self.environment(**settings), name or f"worker-{number}", *arguments
        )
        self._processes.append(worker)
        return worker.ready() if ready else worker

    def lone_worker(self, *arguments: str, **options: Any) -> Worker:
        """Start a worker without mingle, gossip and heartbeat."""
        return self.worker(*ALONE, *arguments, **options)

    def start(self, *arguments: str) -> Process:
        """Start another Celery command that runs until it is stopped."""
        process = Process(self.folder / f"command-{next(self._numbers)}.log", self.environment(), *arguments)
        self._processes.append(process)
        return process

    def run(self, *arguments: str, typed: str = "", code: int = 0) -> str:
        """Run a command with ``typed`` as its input; check its exit code and return its output."""
        with TemporaryFile("w+") as stdin, TemporaryFile("w+") as stdout:
            stdin.write(typed)
            stdin.seek(0)
            process = start(arguments, (stdin.fileno(), stdout.fileno()), self.folder, self.environment())
            try:
                ended = process.wait(2 * LIMIT)
            finally:
                process.send_signal(signal.SIGKILL)
            stdout.seek(0)
            printed = stdout.read()
        assert ended == code, printed
        return printed

    def pids(self) -> set[int]:
        """Return the ids of the started processes."""
        return {process.pid for process in self._processes}

    def close(self) -> None:
        for process in self._processes:
            process.close()
        close_pools(self.app)

    # Tasks.

    def add_broadcast_queue(self) -> None:
        """Add the broadcast queue to the application and to workers that start later."""
        self.settings[BROADCAST] = True
        self.app.conf.task_queues = queues()

    def send(self, task: str, *arguments: Any, **options: Any) -> Any:
        """Send the task of that name."""
        return self.app.tasks[task].apply_async(arguments, **options)

    def signature(self, task: str, *arguments: Any, **options: Any) -> Any:
        return self.app.tasks[task].s(*arguments).set(**options)

    def answer(self, result: ResultBase) -> Any:
        """Wait for a result by polling, which Celery's filesystem backend needs."""
        try:
            return result.get(timeout=LIMIT, interval=0.02, disable_sync_subtasks=False)
        except CeleryTimeoutError:
            logs = "\n".join(f"{process.log_file.name}:\n{process.log[-_LOG_TAIL:]}" for process in self._processes)
            raise AssertionError(f"no result of {result} within {LIMIT} s; the ends of the logs:\n{logs}") from None

    def inspect(self, *workers: Worker) -> Inspect:
        """Inspect only these workers, so that the call ends with their answers."""
        return self.app.control.inspect(destination=[worker.name for worker in workers], timeout=LIMIT)

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
