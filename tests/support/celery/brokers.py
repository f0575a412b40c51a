"""The brokers that the Celery tests run over. A new entry in ``BROKERS`` runs them over another store."""

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
    """A private store."""

    #: The broker URL.
    url: str
    #: A broker URL with timeouts of at most one second.
    short_timeout_url: str

    #: A part of the error text during an outage.
    outage_error: str

    def outage(self) -> object:
        """Make the store unusable within this context."""

    def lose_data(self) -> None:
        """Delete all that the store holds."""

    def close(self) -> None:
        """End the store's servers."""


class SqliteBroker:
    """A SQLite file."""

    #: Holds the write lock of the file until the end of stdin.
    _HOLD_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "broker.db"
        self.url = f"pool+sqlite:///{self._path}"
        self.short_timeout_url = f"{self.url}?busy_timeout=1"
        self.outage_error = "locked by another process"

    @contextmanager
    def outage(self) -> Iterator[None]:
        command = [sys.executable, "-c", self._HOLD_LOCK, str(self._path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout.readline() == b"held\n"
            yield
            holder.stdin.close()

    def lose_data(self) -> None:
        for file in self._path.parent.glob(f"{self._path.name}*"):
            file.unlink()

    def close(self) -> None:
        """Do nothing: the file is deleted with its folder."""


class RedisBroker:
    """A private Redis server."""

    def __init__(self, folder: Path) -> None:
        self._server = Server()
        self.url = f"pool+{self._server.uri()}"
        self.short_timeout_url = f"{self.url}?socket_timeout=1"
        self.outage_error = "imeout"

    @contextmanager
    def outage(self) -> Iterator[None]:
        self._server.pause()
        try:
            yield
        finally:
            self._server.resume()

    def lose_data(self) -> None:
        self._server.client().flushall()

    def close(self) -> None:
        self._server.stop()


class ClusterBroker:
    """A key prefix on the shared Redis Cluster."""

    def __init__(self, folder: Path) -> None:
        uri = fresh_cluster_uri()
        self._prefix = uri.rpartition("=")[2]
        self.url = f"pool+{uri}"
        self.short_timeout_url = f"{self.url}&socket_timeout=1"
        self.outage_error = "imeout"

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

    def lose_data(self) -> None:
        client = shared_cluster().client()
        for key in [*client.scan_iter(f"*{self._prefix}:*")]:
            client.unlink(key)

    def close(self) -> None:
        """Do nothing: other tests use the cluster."""


class MongoBroker:
    """A database on the shared MongoDB replica set."""

    def __init__(self, folder: Path) -> None:
        self._uri = mongodb.fresh_uri()
        self.url = f"pool+{self._uri}"
        self._servers = mongodb.shared_replica_set()
        self.short_timeout_url = f"{self.url}&socketTimeoutMS=1000&serverSelectionTimeoutMS=1000"
        self.outage_error = "imed out"

    @contextmanager
    def outage(self) -> Iterator[None]:
        self._servers.pause()
        try:
            yield
        finally:
            self._servers.resume()

    def lose_data(self) -> None:
        database = self._uri.partition("?")[0].rpartition("/")[2]
        self._servers.client().drop_database(database)

    def close(self) -> None:
        """Do nothing: other tests use the servers."""


#: Name -> constructor, which takes a new folder.
BROKERS: dict[str, Callable[[Path], Broker]] = {
    "sqlite": SqliteBroker,
    "redis": RedisBroker,
    "redis-cluster": ClusterBroker,
    "mongodb": MongoBroker,
}
