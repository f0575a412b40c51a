"""A file in which tasks write what they did, whatever process they ran in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Entry(NamedTuple):
    """What one task did once."""

    what: str
    pid: int


class Journal:
    """Appends whole lines, so that writers never mix."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, what: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{os.getpid()} {what}\n")

    def entries(self) -> list[Entry]:
        if not self.path.exists():
            return []
        lines = self.path.read_text().splitlines()
        return [Entry(what, int(pid)) for pid, _, what in (line.partition(" ") for line in lines)]

    def said(self) -> list[str]:
        """Return what was written, in order."""
        return [entry.what for entry in self.entries()]

    def pids(self, what: str) -> list[int]:
        """Return who wrote this, in order."""
        return [entry.pid for entry in self.entries() if entry.what == what]
