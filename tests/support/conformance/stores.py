"""The stores that the conformance suite runs over: each of ours by itself, and pooling over four of a kind."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

from kombu_pool import drivers
from kombu_pool.testing import UNREADABLE, Store, memory_uri
from tests.support.limits import LIMIT
from tests.support.servers import mongodb
from tests.support.servers.redis_shared import fresh_cluster_uri, fresh_uri

if TYPE_CHECKING:
    from pathlib import Path

    from kombu_pool.model import Project


def _corrupt_memory(uri: str, project: Project, queue: str, message_id: str) -> None:
    from kombu_pool.drivers.memory import data_store, name_of  # noqa: PLC0415 - imported for this store only

    queues = data_store(name_of(drivers.parse(uri))).queues
    queues[project, queue].backlog.messages[message_id].record = UNREADABLE


def _sqlite_uri(folder: Path, name: str) -> str:
    return f"sqlite:///{folder / name}.db"


def _corrupt_sqlite(uri: str, project: Project, queue: str, message_id: str) -> None:
    connection = sqlite3.connect(drivers.parse(uri).path.replace("//", "/"))
    with connection:
        changed = connection.execute(
            "UPDATE message SET record = ? WHERE id = ?", (UNREADABLE, int(message_id))
        ).rowcount
    connection.close()
    assert changed == 1


def _redis_uri(folder: Path, name: str) -> str:
    return fresh_uri()


def _redis_cluster_uri(folder: Path, name: str) -> str:
    return fresh_cluster_uri()


def _corrupt_redis(uri: str, project: Project, queue: str, message_id: str) -> None:
    import redis  # noqa: PLC0415 - imported for this store only

    from kombu_pool.drivers.redis.keys import queue_keys  # noqa: PLC0415 - likewise

    parsed = drivers.parse(uri)
    prefix = parsed.options.get("key_prefix", "kombu-pool")
    address = f"redis://{parsed.authority.split(',')[0]}{parsed.path}"
    client = redis.RedisCluster if parsed.scheme == "redis+cluster" else redis.Redis
    with client.from_url(address, socket_timeout=LIMIT) as store:
        records, message = queue_keys(prefix, project, queue).records, bytes.fromhex(message_id)
        # The first 16 bytes hold the time of the post and the ttl; the next two the length of the head.
        store.hset(records, message, store.hget(records, message)[:16] + b"\0\0" + UNREADABLE)


def _mongodb_uri(folder: Path, name: str) -> str:
    return mongodb.fresh_uri()


def _standalone_mongodb_uri(folder: Path, name: str) -> str:
    return mongodb.fresh_standalone_uri()


def _emptied_mongodb_uri(folder: Path, name: str) -> str:
    return mongodb.emptied_uri(folder)


def _emptied_standalone_mongodb_uri(folder: Path, name: str) -> str:
    return mongodb.emptied_standalone_uri(folder)


def _corrupt_mongodb(uri: str, project: Project, queue: str, message_id: str) -> None:
    import pymongo  # noqa: PLC0415 - imported for this store only

    with pymongo.MongoClient(uri) as client:
        messages = client.get_default_database()["kombu_pool_messages"]
        changed = messages.update_one({"_id": bytes.fromhex(message_id), "q": queue}, {"$set": {"b": UNREADABLE}})
    assert changed.modified_count == 1


_MEMORY = Store(memory_uri, control=True, corrupt=_corrupt_memory)
_SQLITE = Store(_sqlite_uri, control=True, corrupt=_corrupt_sqlite)
_REDIS = Store(_redis_uri, control=True, corrupt=_corrupt_redis)
_MONGODB = Store(_mongodb_uri, control=True, corrupt=_corrupt_mongodb, examples=12)


def _pooled(store: Store) -> Store:
    return replace(store, control=False, pools=4)


STORES = {
    "memory": _MEMORY,
    "sqlite": _SQLITE,
    "redis": _REDIS,
    "redis-cluster": replace(_REDIS, uri=_redis_cluster_uri),
    "mongodb": _MONGODB,
    # The control plane uses nothing of a MongoDB that a standalone server lacks.
    "mongodb-standalone": replace(_MONGODB, uri=_standalone_mongodb_uri, control=False),
    "pooled-memory": _pooled(_MEMORY),
    "pooled-sqlite": _pooled(_SQLITE),
    "pooled-redis": _pooled(_REDIS),
    "pooled-mongodb": _pooled(_MONGODB),
}

_EMPTIED = replace(_MONGODB, uri=_emptied_mongodb_uri)

#: The same stores for tests that start no process: on MongoDB a test gets the emptied databases of the one before it.
STORES_OF_ONE_PROCESS = {
    **STORES,
    "mongodb": _EMPTIED,
    "mongodb-standalone": replace(_EMPTIED, uri=_emptied_standalone_mongodb_uri, control=False),
    "pooled-mongodb": _pooled(_EMPTIED),
}
