"""Servers that all tests of a process share, each with a part of its own: a server's start costs more than a test."""

from __future__ import annotations

import functools
import itertools

from tests.support.servers.redis_cluster import Cluster
from tests.support.servers.redis_server import Server

_prefixes = itertools.count()


class LentServer(Server):
    """A server that lends its databases, but for the one that everybody finds, 0."""

    def __init__(self, databases: int = 4096) -> None:
        super().__init__(databases=databases)
        self._last = databases - 1
        self._lent = 0

    def lend(self) -> int:
        """Return the number of an empty database. When all were lent, the first is emptied and lent again."""
        db = 1 + self._lent % self._last
        self._lent += 1
        if self._lent > self._last:
            client = self.client(db)
            client.flushdb()
            client.close()
        return db


@functools.cache
def shared_server() -> LentServer:
    """Return the server of this process, which no test may stop."""
    return LentServer()


@functools.cache
def shared_cluster() -> Cluster:
    """Return the cluster of this process, which no test may stop or change."""
    return Cluster()


def fresh_uri() -> str:
    """Return the URI of an empty database on the shared server.

    What databases do not divide, such as channels, scripts and the clients' names, is everybody's.
    """
    return shared_server().uri(shared_server().lend())


def fresh_cluster_uri() -> str:
    """Return the URI of the shared cluster with a prefix of one's own, for a cluster has only one database."""
    return f"{shared_cluster().uri()}?key_prefix=t{next(_prefixes)}"
