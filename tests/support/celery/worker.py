"""Runs Celery commands in processes, and waits for lines in their logs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.support.forks.server import ForkServer
from tests.support.limits import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.support.forks.server import ForkedProcess

_APPLICATION = ("-A", "tests.support.celery.application")
#: The interpreter's options: without Celery's own warnings.
_OPTIONS = ("-W", "ignore")
#: What commands and workers import.
_MODULES = (
    *(
        "celery.bin.celery",
        "celery.bin.worker",
        "celery.apps.worker",
        "celery.worker.consumer",
        "celery.worker.control",
    ),
    *("celery.worker.autoscale", "celery.worker.strategy", "celery.concurrency.prefork", "celery.concurrency.thread"),
    *("celery.concurrency.solo", "celery.app.amqp", "celery.app.control", "celery.app.events", "celery.app.log"),
    *("celery.fixups.django", "celery.events.state", "kombu.pidbox", "kombu.transport.virtual", "billiard.pool"),
    *("kombu_pool.transport", "kombu_pool.pooling", "kombu_pool.cli", "kombu_pool.drivers.sqlite"),
    *("kombu_pool.drivers.redis", "kombu_pool.drivers.mongodb", "tests.support.celery.application"),
    "tests.support.celery.file_results",
)
_server = ForkServer(*_MODULES, options=_OPTIONS)
#: Pools that must be the first to import the standard library, to replace parts of it.
_NOT_FORKED = {"--pool=gevent", "--pool=eventlet"}
#: Options of a worker that looks for no other workers; it starts a second faster.
ALONE = ("--without-mingle", "--without-gossip", "--without-heartbeat")


def eventually(condition: Callable[[], object], within: float = LIMIT, why: Callable[[], str] = str) -> None:
    """Wait until the condition holds; fail after the timeout."""
    until = time.monotonic() + within
    while True:
        asked = time.monotonic()
        if condition():
            return
        assert time.monotonic() < until, f"not within {within} s: {why()}"
        # Some conditions open a store, which takes processor time from the workers: they wait as long as they ask.
        time.sleep(max(0.02, time.monotonic() - asked))


#: Our words, and not Celery's about tasks that are acknowledged late.
_LOST_CLAIM = re.compile(r"refused \d+ late acknowledgement|another worker may run them")


def start(
    arguments: Sequence[str], files: tuple[int, int], folder: Path, environment: Mapping[str, str]
) -> ForkedProcess | subprocess.Popen[bytes]:
    """Start a Celery command in a folder; ``files`` are its input and its output."""
    stdin, stdout = files
    words = [*_APPLICATION, *arguments]
    if _NOT_FORKED.isdisjoint(arguments):
        return _server.start("celery", *words, files=(stdin, stdout, stdout), folder=folder, environment=environment)
    command = [sys.executable, *_OPTIONS, "-m", "celery", *words]
    return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stdout, env=environment, cwd=folder)


class Process:
    """A Celery command that runs until it is stopped."""

    def __init__(self, log: Path, environment: Mapping[str, str], *arguments: str) -> None:
        self.log_file = log
        with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
            self._process = start(arguments, (nothing.fileno(), output.fileno()), log.parent, environment)
        self.pid = self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_for_log(self, text: str, within: float = LIMIT) -> None:
        """Wait until the log contains the text."""
        eventually(
            lambda: text in self.log or self._process.poll() is not None, within, lambda: f"{text!r} in\n{self.log}"
        )
        assert text in self.log, f"the process ended with {self._process.returncode} without {text!r}:\n{self.log}"

    def children(self) -> list[int]:
        """Return the ids of all descendant processes."""
        return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, within: float = LIMIT) -> int:
        """Wait for the end of the process and return its exit code."""
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the process did not end within {within} s:\n{self.log}") from None

    def stop(self, within: float = LIMIT) -> None:
        """Send SIGTERM and wait for the end: a warm shutdown of a worker."""
        self.signal(signal.SIGTERM)
        assert self.wait(within) == 0, self.log

    def kill(self) -> None:
        """Kill the process and all its descendants."""
        pids = [self.pid, *self.children()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Kill the process if it is still running."""
        if self._process.poll() is None:
            self.kill()


class Worker(Process):
    """A worker with a unique name."""

    def __init__(self, log: Path, environment: Mapping[str, str], name: str, *arguments: str) -> None:
        self.name = f"{name}@tests"
        super().__init__(log, environment, "worker", f"--hostname={self.name}", "--loglevel=info", *arguments)

    def lost_claims(self) -> list[str]:
        """Return the log lines about messages whose claim ended, so that another worker may run them."""
        return [line for line in self.log.splitlines() if _LOST_CLAIM.search(line)]

    def ready(self) -> Worker:
        """Wait until the worker consumes."""
        self.wait_for_log(f"{self.name} ready.")
        return self
