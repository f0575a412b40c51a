"""Folders of servers, in memory where there is room: a kill loses nothing that the server gave to the kernel."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import psutil

from tests.support.servers.process import supervisor

_IN_MEMORY = Path("/dev/shm")
#: Bytes of memory that must be free: more than all servers of a run write.
_ENOUGH = 6 << 30


def new_folder() -> Path:
    """Return a new folder, which is deleted with the test process at the latest."""
    # Not pytest's folder: a socket's path has a limit of 108 bytes.
    folder = Path(tempfile.mkdtemp(prefix="kp-", dir=_IN_MEMORY if _has_room() else None))
    supervisor().add_folder(folder)
    return folder


def _has_room() -> bool:
    is_room = _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free >= _ENOUGH
    return is_room and psutil.virtual_memory().available >= _ENOUGH
