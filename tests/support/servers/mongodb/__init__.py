"""Private MongoDB servers, and databases on shared ones."""

from tests.support.servers.mongodb.replica_set import ReplicaSet
from tests.support.servers.mongodb.shared import (
    emptied_standalone_uri,
    emptied_uri,
    fresh_standalone_uri,
    fresh_uri,
    shared_replica_set,
    shared_standalone,
)
from tests.support.servers.mongodb.standalone import MongoServer

__all__ = [
    "MongoServer",
    "ReplicaSet",
    "emptied_standalone_uri",
    "emptied_uri",
    "fresh_standalone_uri",
    "fresh_uri",
    "shared_replica_set",
    "shared_standalone",
]
