"""Runs Celery's commands in processes of their own, and waits for what they say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

#: Seconds within which anything should have happened on a busy machine.
SOON = 20.0

#: Celery's own warnings are nothing to us.
CELERY = (sys.executable, "-W", "ignore", "-m", "celery", "-A", "tests.support.celery.application")
#: A worker that is alone: it starts a second faster.
ALONE = ("--without-mingle", "--without-gossip", "--without-heartbeat")


def eventually(condition: Callable[[], object], within: float = SOON, why: Callable[[], str] = str) -> None:
    """Wait until the condition holds, and fail if it does not in time."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, f"not within {within} s: {why()}"
        time.sleep(0.02)


class Process:
    """A Celery command that runs until it is stopped."""

    def __init__(self, log: Path, environment: Mapping[str, str], *arguments: str) -> None:
        self.log_file = log
        self._output = log.open("ab")
        self._process = subprocess.Popen(
            [*CELERY, *arguments], stdout=self._output, stderr=subprocess.STDOUT, env=environment, cwd=log.parent
        )
        self.pid = self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def says(self, text: str, within: float = SOON) -> None:
        """Wait until the log holds the text."""
        eventually(
            lambda: text in self.log or self._process.poll() is not None, within, lambda: f"{text!r} in\n{self.log}"
        )
        assert text in self.log, f"it ended with {self._process.returncode} without {text!r}:\n{self.log}"

    def children(self) -> list[int]:
        """Return the processes that it started, and those that they did."""
        return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, within: float = SOON) -> int:
        """Wait for its end and return its exit code."""
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {within} s:\n{self.log}") from None

    def stop(self, within: float = SOON) -> None:
        """Let it finish what it does."""
        self.signal(signal.SIGTERM)
        assert self.wait(within) == 0, self.log

    def kill(self) -> None:
        """Kill it with all its children, at once and without a warning."""
        family = [self.pid, *self.children()]
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Leave nothing of it behind."""
        if self._process.poll() is None:
            self.kill()
        self._output.close()


class Worker(Process):
    """A worker, with a name that no other has."""

    def __init__(self, log: Path, environment: Mapping[str, str], name: str, *arguments: str) -> None:
        self.name = f"{name}@tests"
        super().__init__(log, environment, "worker", f"--hostname={self.name}", "--loglevel=info", *arguments)

    def ready(self) -> Worker:
        """Wait until it consumes."""
        self.says(f"{self.name} ready.")
        return self
