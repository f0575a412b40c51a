"""Starts programs as forks of a process that has imported what they need: an import takes longer than most programs."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[3]
#: Longest pause between two questions whether a process has ended, in seconds.
_MAX_PAUSE = 0.05


class ForkServer:
    """A process that forks; it starts with the first program, and ends with this process.

    ``options`` are those of the interpreter. The modules must start no thread, and must not be the programs
    themselves.
    """

    def __init__(self, *modules: str, options: Sequence[str] = ()) -> None:
        self._modules = modules
        self._options = options
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def start(
        self,
        module: str,
        *arguments: str,
        files: Sequence[int],
        folder: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> ForkedProcess:
        """Run ``python -m module arguments``; ``files`` are its stdin, stdout and stderr."""
        request = {
            "module": module,
            "arguments": arguments,
            "folder": str(folder),
            "environment": {**(environment or os.environ), "PYTHONPATH": str(ROOT)},
        }
        return ForkedProcess(self, self.ask(request, files))

    def ask(self, request: dict[str, Any], files: Sequence[int] = ()) -> Any:
        """Return the answer to a request."""
        with self._lock:
            if self._process is None or self._owner != os.getpid():
                self._launch()
            socket.send_fds(self._channel, [json.dumps(request).encode() + b"\n"], files)
            answer = b""
            while not answer.endswith(b"\n"):
                received = self._channel.recv(4096)
                if not received:
                    raise RuntimeError("the fork server has ended")
                answer += received
        return json.loads(answer)

    def close(self) -> None:
        """End the server; in a forked child, do nothing."""
        if self._owner == os.getpid() and self._process is not None:
            self._channel.close()
            self._process.wait()

    def _launch(self) -> None:
        self._channel, theirs = socket.socketpair()
        self._owner = os.getpid()
        with theirs:
            program = ["-m", "tests.support.forks.program", str(theirs.fileno()), *self._modules]
            self._process = subprocess.Popen(
                [sys.executable, *self._options, *program],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        atexit.register(self.close)


class ForkedProcess:
    """A program, with the methods of a ``Popen``."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server = server
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, None while the process runs."""
        if self.returncode is None:
            self.returncode = self._server.ask({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float = float("inf")) -> int:
        """Wait for the end of the process and return its exit code."""
        until = time.monotonic() + timeout
        pause = 0.001
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
