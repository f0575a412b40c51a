"""A file to which tasks of all processes append lines."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Entry(NamedTuple):
    """A line, and the process that wrote it."""

    text: str
    pid: int


class TaskJournal:
    """Appends lines in single writes, so that lines of several processes never mix."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{os.getpid()} {text}\n")

    def entries(self) -> list[Entry]:
        if not self.path.exists():
            return []
        lines = self.path.read_text().splitlines()
        return [Entry(text, int(pid)) for pid, _, text in (line.partition(" ") for line in lines)]

    def texts(self) -> list[str]:
        """Return the lines in order."""
        return [entry.text for entry in self.entries()]

    def pids(self, text: str) -> list[int]:
        """Return the processes that wrote this line, in order."""
        return [entry.pid for entry in self.entries() if entry.text == text]
