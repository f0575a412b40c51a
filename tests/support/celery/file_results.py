"""Celery's file result backend, with files that are whole whenever they are read."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from celery.backends.filesystem import FilesystemBackend


class WholeFiles(FilesystemBackend):
    """Put a result in the place of the one before it, where Celery's own writes over it.

    Two processes may write one task's states at once: its retry in the one, what came of that in the other.
    """

    def set(self, key: bytes, value: bytes | str) -> None:
        aside = key + f".{os.getpid()}.{threading.get_ident()}".encode()
        super().set(aside, value)
        Path(os.fsdecode(self._filename(aside))).replace(os.fsdecode(self._filename(key)))
