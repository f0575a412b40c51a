"""MongoDB servers that all tests of a process share, each test with its own database."""

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

#: Environment variable with the URI of a server to use instead of a private replica set.
VARIABLE = "KOMBU_POOL_TEST_MONGODB"


class Shared(Generic[T]):
    """A shared server, replaced by a new one after a number of databases.

    A database keeps a few dozen files open until some time after it is dropped, and a server with too many open files
    dies. The previous server keeps running for the tests that still use its databases.
    """

    DATABASES_PER_SERVER = 120

    def __init__(self, start: Callable[[], T]) -> None:
        self._start = start
        self._running: list[T] = []
        self._given = 0

    def get(self) -> T:
        """Return the current server."""
        if not self._running:
            self._running.append(self._start())
        return self._running[-1]

    def uri(self) -> str:
        """Return the URI of an empty database."""
        if self._given >= self.DATABASES_PER_SERVER:
            self._given = 0
            self._running.append(self._start())
            for former in self._running[:-2]:
                former.stop()
            del self._running[:-2]
        self._given += 1
        return self.get().uri(_name())


_replica_set = Shared(ReplicaSet)
_standalone = Shared(MongoServer)


def shared_replica_set() -> ReplicaSet:
    """Return the current shared replica set of this process, which no test may stop or change."""
    return _replica_set.get()


def shared_standalone() -> MongoServer:
    """Return the current shared standalone server of this process, which no test may stop or change."""
    return _standalone.get()


def fresh_uri() -> str:
    """Return the URI of an empty database on the shared replica set, or on the server named in the environment."""
    named = os.environ.get(VARIABLE)
    return _new_database(named) if named else _replica_set.uri()


def fresh_standalone_uri() -> str:
    """Return the URI of an empty database on a server that has neither transactions nor change streams."""
    return _standalone.uri()


def _name() -> str:
    return f"kombu_pool_test_{secrets.token_hex(6)}"


def _new_database(uri: str) -> str:
    """Return the server's URI with a new database, which is dropped when this process ends."""
    parts = urlsplit(uri)
    name, query = _name(), parts.query
    if "@" in parts.netloc and "authsource=" not in query.lower():
        # The default would be the database in the URI, which has no users.
        query = "&".join(filter(None, [query, f"authSource={parts.path.strip('/') or 'admin'}"]))
    with_database = urlunsplit(parts._replace(path=f"/{name}", query=query))
    atexit.register(_drop, with_database, name)
    return with_database


def _drop(uri: str, name: str) -> None:
    with pymongo.MongoClient(uri) as client:
        client.drop_database(name)
