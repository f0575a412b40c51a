"""Forks a process for each program that a test starts: ``python -m tests.support.forks.program SOCKET MODULES...``.

It imports the modules once. A request is a line of JSON on the socket, and so is its answer: a request with a module
has the files of the program's stdin, stdout and stderr attached, and its answer is the process id; a request with a
process id is answered by the exit code, or null. It ends with the test process, which closes the socket.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from typing import Any

#: Most bytes of a request that are read at once.
_SIZE = 65536


def serve(channel: socket.socket) -> str | None:
    """Answer requests; return None at the end of the test process, and the name of its module in each fork."""
    while True:
        request, files = _receive(channel)
        if request is None:
            return None
        if "ended" in request:
            answer = _exit_code(request["ended"])
        else:
            answer = os.fork()
            if answer == 0:
                channel.close()
                _become(request, files)
                return str(request["module"])
        for file in files:
            os.close(file)
        channel.sendall(json.dumps(answer).encode() + b"\n")


def _receive(channel: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    data, files, *_ = socket.recv_fds(channel, _SIZE, 3)
    while data and not data.endswith(b"\n"):
        data += channel.recv(_SIZE)
    return (json.loads(data) if data else None), files


def _exit_code(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _become(request: dict[str, Any], files: list[int]) -> None:
    """Take over the files, folder, environment and arguments of the program."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]
    sys.argv[:] = ["-m", *request["arguments"]]


def main() -> None:
    # Ctrl-C reaches every process of the terminal; this one ends after the test process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in sys.argv[2:]:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    module = serve(socket.socket(fileno=int(sys.argv[1])))
    if module is not None:
        # As ``python -m`` does.
        runpy._run_module_as_main(module)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
