"""Wakes the watches of all processes: by a write to a file beside the database when messages become claimable."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

_IN_MODIFY, _IN_DONT_FOLLOW = 0x2, 0x2000000
#: Seconds between two checks that the file was not deleted.
_CHECK_INTERVAL = 1.0
# Another user may have planted a link to a file of this user's, or a pipe, whose opening would wait for a reader.
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def wake_path(path: str) -> str:
    """Return the file beside a database file that the signals are written to."""
    return f"{path}-wake"


def open_wake_file(path: str) -> int:
    """Return a descriptor of the file beside a database file, which is created if it is missing.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    file = os.open(wake_path(path), _FLAGS, 0o666)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "the file beside it is no regular file", wake_path(path))
    return file


class WakeSignal:
    """Wakes the watches of a database file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = -1
        self._pid = 0
        self._check_at = 0.0

    def send(self) -> None:
        """Wake the watches. Never raises: a watch also checks the file itself at intervals."""
        try:
            # A child may have closed its parent's descriptor, and another file may have the number by now.
            if self._file < 0 or self._pid != os.getpid():
                self._file = open_wake_file(self._path)
                self._pid = os.getpid()
            elif time.monotonic() >= self._check_at:
                self._check_at = time.monotonic() + _CHECK_INTERVAL
                self._follow()
            os.pwrite(self._file, b"\0", 0)
        except OSError:
            pass

    def _follow(self) -> None:
        """Continue with the file that is at the path, if it is another one."""
        if not is_wake_file(os.fstat(self._file), self._path):
            file = open_wake_file(self._path)
            # In one step: another thread may be writing, and must not find its descriptor closed or given to others.
            os.dup2(file, self._file, inheritable=False)
            os.close(file)

    def close(self) -> None:
        """Close the file. Idempotent."""
        file, self._file = self._file, -1
        if file >= 0 and self._pid == os.getpid():
            os.close(file)


class WakeListener:
    """Receives the signals: ``file`` becomes readable with each; it is -1 on platforms without inotify."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.file = _listen(path)
        self._listened = None if self.file < 0 else _stat(path)

    def is_at_path(self) -> bool:
        """Return whether the file that the signals are received from was neither deleted nor replaced."""
        return self._listened is None or is_wake_file(self._listened, self._path)

    def receive(self) -> bool:
        """Return whether a signal was sent since the last call."""
        return self.file >= 0 and drain(self.file)

    def close(self) -> None:
        """Stop listening. Idempotent."""
        file, self.file = self.file, -1
        if file >= 0:
            os.close(file)


def _stat(path: str) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        return Path(wake_path(path)).lstat()
    return None


def is_wake_file(file: os.stat_result, path: str) -> bool:
    """Return whether a file is the one beside a database file."""
    found = _stat(path)
    return found is not None and os.path.samestat(found, file)


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
        os.close(open_wake_file(path))
    # IN_NONBLOCK and IN_CLOEXEC have the values of the O_ flags.
    file = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    if file >= 0 and libc.inotify_add_watch(file, os.fsencode(wake_path(path)), _IN_MODIFY | _IN_DONT_FOLLOW) < 0:
        os.close(file)
        return -1
    return file
