"""A server's process: started, stopped for a while, ended."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from tests.support.servers.supervisor import Keeper

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds that a process has to end by itself.
_PATIENCE = 10.0

keeper = functools.cache(Keeper)


class Process:
    """A program that runs in a folder, until it is ended or this process ends."""

    def __init__(self, command: list[str], folder: Path, log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # An interrupt from the keyboard is for pytest, which then ends its servers.
                start_new_session=True,
            )
        keeper().keep(self.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def pause(self) -> None:
        """Stop the process, and wait until all of its threads have."""
        self._process.send_signal(signal.SIGSTOP)
        until = time.monotonic() + 1
        while os.waitpid(self._process.pid, os.WUNTRACED | os.WNOHANG)[0] == 0 and time.monotonic() < until:
            time.sleep(0.001)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        keeper().forget(self.pid)

    def end(self) -> None:
        """Ask it to end, and kill it if it does not."""
        self._process.terminate()
        self.resume()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self.kill()
