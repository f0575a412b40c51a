"""Ends the servers of a test process that ended, however it did: run as a program, by ``Keeper``.

It reads what to end from a pipe, and ends it when nobody can write to that any more. The kernel's own signal at a
parent's death would come too early: when the thread that started the server ends.
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


class Keeper:
    """Knows the servers that this process has started."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        # In a session of its own, where an interrupt from the keyboard does not reach it.
        command = [sys.executable, "-I", "-S", __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
        atexit.register(self.close)

    def keep(self, pid: int) -> None:
        self._tell("process", pid)

    def forget(self, pid: int) -> None:
        self._tell("ended", pid)

    def keep_folder(self, folder: Path) -> None:
        self._tell("folder", folder)

    def close(self) -> None:
        """End all that is left, but not from a fork."""
        if os.getpid() == self._owner:
            self._process.communicate()

    def _tell(self, what: str, which: object) -> None:
        self._process.stdin.write(f"{what} {which}\n")
        self._process.stdin.flush()


def main(lines: Iterable[str]) -> None:
    left: dict[str, set[str]] = {"process": set(), "folder": set()}
    for line in lines:
        what, _, which = line.rstrip("\n").partition(" ")
        if what == "ended":
            left["process"].discard(which)
        else:
            left[what].add(which)
    for pid in left["process"]:
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    for folder in left["folder"]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.stdin)
