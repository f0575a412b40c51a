"""MongoDB servers that all tests of a process share, each with a database of its own."""

from __future__ import annotations

import atexit
import os
import secrets
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlsplit, urlunsplit

import pymongo

from tests.support.servers.mongodb.replica_set import ReplicaSet
from tests.support.servers.mongodb.standalone import MongoServer

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T", ReplicaSet, MongoServer)

#: Names the server to use instead of a replica set of the tests' own, by its URI.
VARIABLE = "KOMBU_POOL_TEST_MONGODB"


class Shared(Generic[T]):
    """A server that tests share until it has lent so many databases; then the next one does.

    Each database is a few dozen open files until a while after it was dropped, and a server that has too many dies. The
    one before the last still serves those that got a database of it.
    """

    LENT_BY_ONE = 120

    def __init__(self, start: Callable[[], T]) -> None:
        self._start = start
        self._running: list[T] = []
        self._lent = 0

    def get(self) -> T:
        """Return the server that lends now."""
        if not self._running:
            self._running.append(self._start())
        return self._running[-1]

    def uri(self) -> str:
        """Return the URI of an empty database."""
        if self._lent >= self.LENT_BY_ONE:
            self._lent = 0
            self._running.append(self._start())
            for former in self._running[:-2]:
                former.stop()
            del self._running[:-2]
        self._lent += 1
        return self.get().uri(_name())


_replica_set = Shared(ReplicaSet)
_standalone = Shared(MongoServer)


def shared_replica_set() -> ReplicaSet:
    """Return the replica set of this process that lends databases now, which no test may stop or change."""
    return _replica_set.get()


def shared_standalone() -> MongoServer:
    """Return the server of this process that is in no replica set and lends databases now; nobody may change it."""
    return _standalone.get()


def fresh_uri() -> str:
    """Return the URI of an empty database on the shared replica set, or on the server that the environment names."""
    named = os.environ.get(VARIABLE)
    return _lend(named) if named else _replica_set.uri()


def fresh_standalone_uri() -> str:
    """Return the URI of an empty database on a server that has neither transactions nor change streams."""
    return _standalone.uri()


def _name() -> str:
    return f"kombu_pool_test_{secrets.token_hex(6)}"


def _lend(uri: str) -> str:
    """Return a server's URI with a database of one's own, which is dropped when this process ends."""
    parts = urlsplit(uri)
    name, query = _name(), parts.query
    if "@" in parts.netloc and "authsource=" not in query.lower():
        # A client would look for its user in the database that the URI names.
        query = "&".join(filter(None, [query, f"authSource={parts.path.strip('/') or 'admin'}"]))
    lent = urlunsplit(parts._replace(path=f"/{name}", query=query))
    atexit.register(_drop, lent, name)
    return lent


def _drop(uri: str, name: str) -> None:
    with pymongo.MongoClient(uri) as client:
        client.drop_database(name)
