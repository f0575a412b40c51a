"""The interpreters of this machine that the package supports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

_PROBE = "import sys, venv, ensurepip; print(*sys.version_info[:2])"


class Interpreter(NamedTuple):
    """An interpreter: its version, as in (3, 12), and its program."""

    version: tuple[int, int]
    program: str

    def __str__(self) -> str:
        return f"Python {self.version[0]}.{self.version[1]}"


def oldest_and_newest(requires: str) -> list[Interpreter]:
    """Return the oldest and the newest interpreter of at least the version that ``requires`` names, as in ">=3.10".

    One, if there is no other; none, if all are older.
    """
    lowest = _pair(requires)
    found = {version: program for program in _programs() if (version := _version_of(program)) and version >= lowest}
    ordered = [Interpreter(version, found[version]) for version in sorted(found)]
    return [*ordered[:1], *ordered[1:][-1:]]


def _pair(text: str) -> tuple[int, int]:
    major, minor = re.findall(r"\d+", text)[:2]
    return int(major), int(minor)


def _programs() -> list[str]:
    on_path = [shutil.which(f"python3.{minor}") for minor in range(10, 30)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    return [*map(str, sorted(pyenv.glob("3.*/bin/python3"))), *filter(None, on_path)]


def _version_of(program: str) -> tuple[int, int] | None:
    """Return the version of a program that can make environments; None of another, as of a shim that leads nowhere."""
    done = subprocess.run([program, "-c", _PROBE], capture_output=True, text=True, check=False)
    return _pair(done.stdout) if done.returncode == 0 else None
