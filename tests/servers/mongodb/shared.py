"""MongoDB servers that all tests of a process share, each with a database of its own."""

from __future__ import annotations

import atexit
import functools
import os
import secrets
from urllib.parse import urlsplit, urlunsplit

import pymongo

from tests.servers.mongodb.replica_set import ReplicaSet
from tests.servers.mongodb.standalone import MongoServer

#: Names the server to use instead of a replica set of the tests' own, by its URI.
VARIABLE = "KOMBU_POOL_TEST_MONGODB"


@functools.cache
def shared_replica_set() -> ReplicaSet:
    """Return the replica set of this process, which no test may stop or change. It has one member."""
    return ReplicaSet()


@functools.cache
def shared_standalone() -> MongoServer:
    """Return the server of this process that is in no replica set, which no test may stop or change."""
    return MongoServer()


def fresh_uri() -> str:
    """Return the URI of an empty database on the shared replica set, or on the server that the environment names."""
    named = os.environ.get(VARIABLE)
    return _lend(named) if named else shared_replica_set().uri(_name())


def fresh_standalone_uri() -> str:
    """Return the URI of an empty database on a server that has neither transactions nor change streams."""
    return shared_standalone().uri(_name())


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
