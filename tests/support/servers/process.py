"""The process of a server: started, paused, resumed, ended."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from tests.support.limits import LIMIT
from tests.support.servers.supervisor import Supervisor

if TYPE_CHECKING:
    from pathlib import Path

#: Timeout of SIGTERM before SIGKILL, in seconds.
_TERMINATE_TIMEOUT = 10.0

supervisor = functools.cache(Supervisor)


class Process:
    """A program that runs in a folder until it is ended or this process ends."""

    def __init__(self, command: list[str], folder: Path, log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C must reach only pytest, which then ends its servers.
                start_new_session=True,
            )
        supervisor().add_process(self.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def pause(self) -> None:
        """Stop the process, and wait until all of its threads are stopped."""
        self._process.send_signal(signal.SIGSTOP)
        until = time.monotonic() + LIMIT
        while os.waitpid(self._process.pid, os.WUNTRACED | os.WNOHANG)[0] == 0 and time.monotonic() < until:
            time.sleep(0.001)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        supervisor().remove_process(self.pid)

    def end(self) -> None:
        """Terminate the process; kill it if it does not end in time."""
        self._process.terminate()
        self.resume()
        try:
            self._process.wait(_TERMINATE_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self.kill()
