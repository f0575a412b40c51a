"""Makes stores unusable for a time: stopped, unreachable, locked, or out of space."""

from __future__ import annotations

import resource
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.support.servers.mongodb import ReplicaSet
from tests.support.servers.redis_server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers.proxy import Proxy

_MIB = 1024 * 1024
#: Size of the disk that is filled, in bytes.
_DISK = 8 * _MIB


class Redis:
    """A Redis server that writes each command to disk before it answers."""

    def __init__(self) -> None:
        self._server = Server(appendonly="yes", appendfsync="always")
        self.port = self._server.port
        self.url = f"pool+{self._server.uri()}"

    def url_through(self, proxy: Proxy) -> str:
        return f"pool+redis://127.0.0.1:{proxy.port}/0"

    def kill(self) -> None:
        self._server.kill()

    def restart(self) -> None:
        self._server.restart()

    def close(self) -> None:
        self._server.stop()


class MongoDB:
    """A replica set of one member."""

    def __init__(self) -> None:
        self._servers = ReplicaSet()
        self.port = self._servers.members[0].port
        self.url = f"pool+{self._servers.uri()}"

    def url_through(self, proxy: Proxy) -> str:
        # Without directConnection, a client would connect to the address that the server reports, past the proxy.
        return f"pool+mongodb://127.0.0.1:{proxy.port}/test?directConnection=true"

    def kill(self) -> None:
        self._servers.members[0].kill()

    def restart(self) -> None:
        self._servers.restart()

    def close(self) -> None:
        self._servers.stop()


SERVERS = {"redis": Redis, "mongodb": MongoDB}


@contextmanager
def disk(folder: Path) -> Iterator[bool]:
    """Mount a small disk on the folder; yield False if mounting is not permitted."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "none", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Fill the folder's disk with a file."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def limited(pids: list[int], size: int) -> Iterator[None]:
    """Limit the file size of these processes to ``size`` bytes."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
