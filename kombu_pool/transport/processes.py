"""Names of processes and of their connections, by which other processes of the machine see whether they live.

A killed process can neither release its claims nor delete its exclusive queues. Others would otherwise wait until its
claims and its ownership expire.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import uuid
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from kombu_pool.clock import SYSTEM_CLOCK

_MACHINE_BYTES = 12
#: Parts of a process's name: its machine, its pid, its start time.
_PARTS = 3
_REGISTRATION = ":process"

_living: set[str] = set()


def new_owner_id() -> str:
    """Return an id for a connection of this process: the process's name, and a part of its own."""
    owner = f"{process()}:{uuid.uuid4().hex}"
    _living.add(owner)
    return owner


def new_registration_id() -> str:
    """Return an id that stands for this process by itself, and for none of its connections."""
    return f"{new_owner_id()}{_REGISTRATION}"


def is_registration(holder: str) -> bool:
    """Return whether an id of a holder stands for its process by itself."""
    return holder.endswith(_REGISTRATION)


def new_consumer_id(owner: str, channel: int, tag: str) -> str:
    """Return an id for a consumer of a connection: with its channel, the time, the name of the host, and its tag."""
    return f"{owner}:{channel:x}@{time.time():.0f}@{quote(platform.node(), safe='')}:{tag}"


class ConsumerId(NamedTuple):
    """What the id of a consumer tells; None is unknown: another program may have made the id."""

    host: str | None
    pid: int | None
    since: float | None
    tag: str


def consumer_of(holder: str) -> ConsumerId:
    """Return what the id of a consumer tells."""
    parts = holder.split(":", _PARTS + 2)
    if len(parts) < _PARTS + 3:
        return ConsumerId(None, None, None, holder)
    of, pid, _, _, channel, tag = parts
    since, host = (*channel.split("@"), "", "")[1:3]
    name = unquote(host) or (platform.node() if of and of == machine() else None)
    return ConsumerId(name, int(pid) if pid.isdecimal() else None, float(since) if since.isdecimal() else None, tag)


def retire(owner: str) -> None:
    """Mark a connection of this process as dead. Idempotent."""
    _living.discard(owner)


def is_dead(owner: str) -> bool:
    """Return whether a connection is certainly dead; False where that cannot be known, as of other machines."""
    of = process_of(owner)
    if of != process():
        return has_died(of)
    # Without a name of the machine it may be a process of another one.
    return bool(machine()) and owner not in _living


def process() -> str:
    """Return the name of this process, which no other process of any machine has had if the machine has a name."""
    return f"{machine()}:{os.getpid()}:{_started(os.getpid())}"


def process_of(holder: str) -> str:
    """Return the name of the process in the id of one of its connections, or of what that holds."""
    return ":".join(holder.split(":", _PARTS)[:_PARTS])


def has_died(process: str) -> bool:
    """Return whether a process has certainly died; False where that cannot be known.

    The proof: this machine has no process of its pid, or one that has ended and that its parent has not waited for, or
    one that was started at another time. A process that /proc does not show may live, and belong to another user.
    """
    of, _, rest = process.partition(":")
    pid, _, started = rest.partition(":")
    if not of or of != machine() or not pid.isdecimal() or sys.platform == "win32":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass
    found = _started(int(pid))
    return bool(found and started) and found != started


@cache
def machine() -> str:
    """Return an id of this boot of the machine and of the pid namespace; "" if the system does not tell it.

    The id of the machine belongs to it: the clones of a virtual machine have the same boot and namespaces.
    """
    if sys.platform == "win32":
        return ""
    parts = [_machine_id() or f"{os.uname().nodename}-{uuid.getnode():x}"]
    if sys.platform == "linux":
        boot, namespace = SYSTEM_CLOCK.boot_id(), _pid_namespace()
        if not boot or not namespace:
            return ""
        parts += [boot, namespace]
    return blake2b("\n".join(parts).encode(), digest_size=_MACHINE_BYTES).hexdigest()


def _machine_id() -> str:
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with suppress(OSError, UnicodeError):
            if found := Path(path).read_text(encoding="ascii").strip():
                return found
    return ""


def _pid_namespace() -> str:
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    return ""


def _started(pid: int) -> str:
    """Return the start time of a process in clock ticks; "dead" for a zombie, "" where it is unknown."""
    try:
        # The fields after the name, which may hold anything: the state is the first, the start time the twentieth.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "dead" if fields[0] in (b"Z", b"X") else fields[19].decode()
