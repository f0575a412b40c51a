"""The brokers that the workers of these tests use: one entry more runs all of them over another store."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from tests.support.servers import mongodb
from tests.support.servers.redis_server import Server
from tests.support.servers.redis_shared import fresh_cluster_uri, shared_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Broker(Protocol):
    """A store of one's own."""

    #: Its broker URL.
    url: str
    #: One whose connections give up after a second at most.
    impatient_url: str

    #: What an error says of an outage.
    outage_says: str

    def outage(self) -> object:
        """Let nobody write to the store within this context."""

    def close(self) -> None:
        """End what serves it."""


class SqliteBroker:
    """A file."""

    #: Takes the only write lock that there is, until its input ends.
    _HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=10)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "broker.db"
        self.url = f"pool+sqlite:///{self._path}"
        self.impatient_url = f"{self.url}?busy_timeout=1"
        self.outage_says = "locked by another process"

    @contextmanager
    def outage(self) -> Iterator[None]:
        command = [sys.executable, "-c", self._HOLD, str(self._path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout.readline() == b"held\n"
            yield
            holder.stdin.close()

    def close(self) -> None:
        """Leave the file to its folder."""


class RedisBroker:
    """A server of one's own, which keeps what it has over a restart."""

    def __init__(self, folder: Path) -> None:
        self._server = Server()
        self.url = f"pool+{self._server.uri()}"
        self.impatient_url = f"{self.url}?socket_timeout=1"
        self.outage_says = "imeout"

    @contextmanager
    def outage(self) -> Iterator[None]:
        self._server.pause()
        try:
            yield
        finally:
            self._server.resume()

    def close(self) -> None:
        self._server.stop()


class ClusterBroker:
    """A part of the cluster that all tests share."""

    def __init__(self, folder: Path) -> None:
        self.url = f"pool+{fresh_cluster_uri()}"
        self.impatient_url = f"{self.url}&socket_timeout=1"
        self.outage_says = "imeout"

    @contextmanager
    def outage(self) -> Iterator[None]:
        nodes = shared_cluster().nodes
        for node in nodes:
            node.pause()
        try:
            yield
        finally:
            for node in nodes:
                node.resume()
            shared_cluster().wait_until_ready()

    def close(self) -> None:
        """Leave the cluster to the others."""


class MongoBroker:
    """A database on the replica set that all tests share."""

    def __init__(self, folder: Path) -> None:
        self.url = f"pool+{mongodb.fresh_uri()}"
        self._servers = mongodb.shared_replica_set()
        self.impatient_url = f"{self.url}&socketTimeoutMS=1000&serverSelectionTimeoutMS=1000"
        self.outage_says = "imed out"

    @contextmanager
    def outage(self) -> Iterator[None]:
        self._servers.pause()
        try:
            yield
        finally:
            self._servers.resume()

    def close(self) -> None:
        """Leave the servers to the others."""


#: How to make a broker in a new folder, by name.
BROKERS: dict[str, Callable[[Path], Broker]] = {
    "sqlite": SqliteBroker,
    "redis": RedisBroker,
    "redis-cluster": ClusterBroker,
    "mongodb": MongoBroker,
}
