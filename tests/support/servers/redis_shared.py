"""Servers that all tests of a process share, each test with its own database: starting one takes longer than a test."""

from __future__ import annotations

import functools
import itertools

from tests.support.servers.redis_cluster import Cluster
from tests.support.servers.redis_server import Server

_prefixes = itertools.count()


class SharedServer(Server):
    """A server that gives each test a database of its own; database 0, the default of clients, is never given."""

    def __init__(self, databases: int = 4096) -> None:
        super().__init__(databases=databases)
        self._last = databases - 1
        self._given = 0

    def next_database(self) -> int:
        """Return the number of an empty database. When all were given, the first one is emptied and given again."""
        db = 1 + self._given % self._last
        self._given += 1
        if self._given > self._last:
            client = self.client(db)
            client.flushdb()
            client.close()
        return db


@functools.cache
def shared_server() -> SharedServer:
    """Return the shared server of this process, which no test may stop."""
    return SharedServer()


@functools.cache
def shared_cluster() -> Cluster:
    """Return the shared cluster of this process, which no test may stop or change."""
    return Cluster()


def fresh_uri() -> str:
    """Return the URI of an empty database on the shared server.

    Channels, scripts and client names do not belong to a database: all tests share them.
    """
    return shared_server().uri(shared_server().next_database())


def fresh_cluster_uri() -> str:
    """Return the URI of the shared cluster with a new key prefix: a cluster has only one database."""
    return f"{shared_cluster().uri()}?key_prefix=t{next(_prefixes)}"
