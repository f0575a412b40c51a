"""Ends the servers of a test process when that process ends in any way. ``Supervisor`` runs this file as a program.

The program reads process ids and folders from a pipe, and kills and deletes them at the end of file. The kernel's
parent-death signal would come too early: when the thread that started the server ends.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Supervisor:
    """The supervising program of this process."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        # In a session of its own, so that Ctrl-C does not reach it.
        command = [sys.executable, "-I", "-S", __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
        atexit.register(self.close)

    def add_process(self, pid: int) -> None:
        self._send("process", pid)

    def remove_process(self, pid: int) -> None:
        self._send("ended", pid)

    def add_folder(self, folder: Path) -> None:
        self._send("folder", folder)

    def close(self) -> None:
        """End the remaining servers; in a forked child, do nothing."""
        if os.getpid() == self._owner:
            self._process.communicate()

    def _send(self, kind: str, value: object) -> None:
        self._process.stdin.write(f"{kind} {value}\n")
        self._process.stdin.flush()


def main(lines: Iterable[str]) -> None:
    remaining: dict[str, set[str]] = {"process": set(), "folder": set()}
    for line in lines:
        kind, _, value = line.rstrip("\n").partition(" ")
        if kind == "ended":
            remaining["process"].discard(value)
        else:
            remaining[kind].add(value)
    for pid in remaining["process"]:
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    for folder in remaining["folder"]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.stdin)
