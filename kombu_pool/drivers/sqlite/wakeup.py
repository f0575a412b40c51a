"""Wakes the watches of all processes: by a write to a file beside the database when messages become claimable."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from functools import cache
from typing import Any

_IN_MODIFY = 0x2
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


def _wake_path(path: str) -> str:
    return f"{path}-wake"


class WakeSignal:
    """Wakes the watches of a database file."""

    def __init__(self, path: str) -> None:
        self._path = _wake_path(path)
        self._file = -1
        self._pid = 0

    def send(self) -> None:
        """Wake the watches. Never raises: a watch also checks the file itself at intervals."""
        try:
            # A child may have closed its parent's descriptor, and another file may have the number by now.
            if self._file < 0 or self._pid != os.getpid():
                self._file = os.open(self._path, _FLAGS, 0o666)
                self._pid = os.getpid()
            os.pwrite(self._file, b"\0", 0)
        except OSError:
            pass

    def close(self) -> None:
        """Close the file. Idempotent."""
        file, self._file = self._file, -1
        if file >= 0 and self._pid == os.getpid():
            os.close(file)


class WakeListener:
    """Receives the signals: ``file`` becomes readable with each; it is -1 on platforms without inotify."""

    def __init__(self, path: str) -> None:
        self.file = _listen(_wake_path(path))

    def receive(self) -> bool:
        """Return whether a signal was sent since the last call."""
        return self.file >= 0 and drain(self.file)

    def close(self) -> None:
        """Stop listening. Idempotent."""
        file, self.file = self.file, -1
        if file >= 0:
            os.close(file)


def drain(file: int) -> bool:
    """Read all that a file has, without waiting for more; return whether that was anything."""
    found = False
    with contextlib.suppress(BlockingIOError):
        # Not os.read: eventlet's waits for data even if the file does not block.
        while os.readv(file, [bytearray(4096)]):
            found = True
    return found


@cache
def _libc() -> Any:
    """Return the C library if it has inotify, else None."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        _ = libc.inotify_init1, libc.inotify_add_watch
    except (OSError, AttributeError):
        return None
    return libc


def _listen(path: str) -> int:
    libc = _libc()
    if libc is None:
        return -1
    with contextlib.suppress(OSError):
        os.close(os.open(path, _FLAGS, 0o666))
    # IN_NONBLOCK and IN_CLOEXEC have the values of the O_ flags.
    file = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    if file >= 0 and libc.inotify_add_watch(file, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(file)
        return -1
    return file
