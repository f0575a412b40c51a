"""MongoDB servers that all tests of a process share, each test with its own database."""

from __future__ import annotations

import atexit
import itertools
import os
import secrets
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlsplit, urlunsplit

import pymongo

from tests.support.servers.mongodb.replica_set import ReplicaSet
from tests.support.servers.mongodb.standalone import MongoServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
        self._stopped: set[str] = set()
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
                self._stopped.add(urlsplit(former.uri()).netloc)
                former.stop()
            del self._running[:-2]
        self._given += 1
        return self.get().uri(_name())

    def has_stopped(self, uri: str) -> bool:
        """Return whether the server of a database was replaced and ended."""
        return urlsplit(uri).netloc in self._stopped


class Emptied:
    """Databases that are emptied and given to the next test: creating the collections takes longer than most tests.

    A test is known by its folder. When it has ended, nothing may use its databases any more.
    """

    def __init__(self, fresh_uri: Callable[[], str], servers: Shared[T]) -> None:
        self._fresh_uri = fresh_uri
        self._servers = servers
        self._folder: Path | None = None
        self._given: list[str] = []
        self._free: list[str] = []

    def uri(self, folder: Path) -> str:
        """Return the URI of an empty database for the test with that folder."""
        if folder != self._folder:
            self._folder = folder
            self._empty()
        uri = self._free.pop() if self._free else self._fresh_uri()
        self._given.append(uri)
        return uri

    def _empty(self) -> None:
        """Empty the databases of the test before this one, and forget those of servers that were ended."""
        for server, uris in itertools.groupby(sorted(filter(self._is_usable, self._given)), _server_of):
            with pymongo.MongoClient(server) as client:
                for database in (client[urlsplit(uri).path.strip("/")] for uri in uris):
                    for collection in database.list_collection_names():
                        database[collection].delete_many({})
        self._free = list(filter(self._is_usable, self._free + self._given))
        self._given = []

    def _is_usable(self, uri: str) -> bool:
        return not self._servers.has_stopped(uri)


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


_emptied = Emptied(fresh_uri, _replica_set)
_emptied_standalone = Emptied(fresh_standalone_uri, _standalone)


def emptied_uri(folder: Path) -> str:
    """Return the URI of a database like that of :func:`fresh_uri`; see :class:`Emptied`."""
    return _emptied.uri(folder)


def emptied_standalone_uri(folder: Path) -> str:
    """Return the URI of a database like that of :func:`fresh_standalone_uri`; see :class:`Emptied`."""
    return _emptied_standalone.uri(folder)


def _server_of(uri: str) -> str:
    return urlsplit(uri)._replace(path="/").geturl()


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
