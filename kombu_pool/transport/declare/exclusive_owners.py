"""Names connections so that another process of the machine can tell whether one that owns a queue still lives.

A process that is killed cannot give back what it owned. Its successor, which may bear the same name and need the same
queue, would otherwise wait until the claims of the dead one end.
"""

from __future__ import annotations

import os
import sys
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

_living: set[str] = set()


def new() -> str:
    """Name a connection of this process."""
    owner = f"{_machine()}:{os.getpid()}:{_started(os.getpid())}:{uuid.uuid4().hex}"
    _living.add(owner)
    return owner


def end(owner: str) -> None:
    """Let a connection of this process own nothing any more. Idempotent."""
    _living.discard(owner)


def is_gone(owner: str) -> bool:
    """Tell whether a connection is surely dead; False where nobody can know, as of other machines."""
    machine, _, rest = owner.partition(":")
    pid, _, rest = rest.partition(":")
    if machine != _machine() or not pid.isdecimal():
        return False
    if int(pid) == os.getpid() and rest.startswith(f"{_started(os.getpid())}:"):
        return owner not in _living
    return not _runs(int(pid), rest.partition(":")[0])


@cache
def _machine() -> str:
    """Name this boot of the machine, and the processes that can be seen from here; "" where both are unknown."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    return "" if sys.platform == "win32" else f"{os.uname().nodename}-{uuid.getnode():x}"


def _runs(pid: int, started: str) -> bool:
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    # The number may have gone to another process since.
    return _started(pid) == started


def _started(pid: int) -> str:
    """Return when a process began, in its system's words; "dead" of one that ended, "" where nobody says."""
    try:
        # What follows the name, which may hold anything: the state, and as the twentieth the time.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "dead" if fields[0] in "ZX" else fields[19]
