"""Celery's filesystem result backend with atomic writes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from celery.backends.filesystem import FilesystemBackend


class AtomicFilesystemBackend(FilesystemBackend):
    """Replaces a result file, where Celery's own backend overwrites it.

    Two processes may write the state of one task at once: the RETRY in one, the result of the next try in the other.
    """

    def set(self, key: bytes, value: bytes | str) -> None:
        temporary = key + f".{os.getpid()}.{threading.get_ident()}".encode()
        super().set(temporary, value)
        Path(os.fsdecode(self._filename(temporary))).replace(os.fsdecode(self._filename(key)))
