"""A file beside the database that is written to when there is something to claim: it wakes waiters in all processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from functools import cache
from typing import Any

_IN_MODIFY = 0x2
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


def _beside(path: str) -> str:
    return f"{path}-wake"


class Bell:
    """The ringing side."""

    def __init__(self, path: str) -> None:
        self._path = _beside(path)
        self._file = -1
        self._pid = 0

    def ring(self) -> None:
        """Wake the waiters. Never raises: they look for themselves now and then."""
        try:
            # What a parent opened may have been closed in its child, and the number be another file's by now.
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


class Ear:
    """The listening side: ``file`` can be polled for reading when the bell was rung; -1 where nobody can listen."""

    def __init__(self, path: str) -> None:
        self.file = _listen(_beside(path))

    def heard(self) -> bool:
        """Tell whether the bell was rung since the last call."""
        return self.file >= 0 and emptied(self.file)

    def close(self) -> None:
        """Stop listening. Idempotent."""
        file, self.file = self.file, -1
        if file >= 0:
            os.close(file)


def emptied(file: int) -> bool:
    """Read what a file has now, without waiting for more; tell whether that was anything."""
    found = False
    with contextlib.suppress(BlockingIOError):
        # Not os.read: eventlet's waits until there is something, though the file is to keep nobody waiting.
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
