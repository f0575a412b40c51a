"""Ids of connections that own exclusive queues, by which other processes of the machine see whether the owner lives.

A killed process cannot delete its exclusive queues. Its successor, which may need a queue of the same name, would
otherwise wait until the dead process's ownership expires.
"""

from __future__ import annotations

import os
import sys
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

_living: set[str] = set()


def new_owner_id() -> str:
    """Return an id for a connection of this process."""
    owner = f"{_machine()}:{os.getpid()}:{_started(os.getpid())}:{uuid.uuid4().hex}"
    _living.add(owner)
    return owner


def retire(owner: str) -> None:
    """Mark a connection of this process as dead. Idempotent."""
    _living.discard(owner)


def is_dead(owner: str) -> bool:
    """Return whether a connection is certainly dead; False where that cannot be known, as of other machines."""
    machine, _, rest = owner.partition(":")
    pid, _, rest = rest.partition(":")
    if machine != _machine() or not pid.isdecimal():
        return False
    if int(pid) == os.getpid() and rest.startswith(f"{_started(os.getpid())}:"):
        return owner not in _living
    return not _runs(int(pid), rest.partition(":")[0])


@cache
def _machine() -> str:
    """Return an id of this boot of the machine and of the pid namespace; "" where both are unknown."""
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
    # The pid may belong to another process by now.
    return _started(pid) == started


def _started(pid: int) -> str:
    """Return the start time of a process in clock ticks; "dead" for a zombie, "" where it is unknown."""
    try:
        # The fields after the name, which may hold anything: the state is the first, the start time the twentieth.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "dead" if fields[0] in "ZX" else fields[19]
