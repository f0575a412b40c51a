"""The stores that the conformance suite runs over: each of ours by itself, and pooling over four of a kind."""

from __future__ import annotations

import math
import sqlite3
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kombu_pool import drivers
from kombu_pool.testing import UNREADABLE, Store, memory_uri
from tests.support.limits import LIMIT
from tests.support.servers import mongodb
from tests.support.servers.redis_shared import fresh_cluster_uri, fresh_uri

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kombu_pool.model import Project


def _corrupt_memory(uri: str, project: Project, queue: str, message_id: str) -> None:
    from kombu_pool.drivers.memory import data_store, name_of  # noqa: PLC0415 - imported for this store only

    queues = data_store(name_of(drivers.parse(uri))).queues
    queues[project, queue].backlog.messages[message_id].record = UNREADABLE


def _set_times_memory(uri: str, project: Project, queue: str, message_id: str, created: float, ttl: float) -> None:
    from kombu_pool.drivers.memory import data_store, name_of  # noqa: PLC0415 - imported for this store only

    message = data_store(name_of(drivers.parse(uri))).queues[project, queue].backlog.messages[message_id]
    message.created, message.ttl = created, ttl


def _sqlite_uri(folder: Path, name: str) -> str:
    return f"sqlite:///{folder / name}.db"


def _corrupt_sqlite(uri: str, project: Project, queue: str, message_id: str) -> None:
    _update_sqlite(uri, "UPDATE message SET record = ? WHERE id = ?", UNREADABLE, int(message_id))


def _set_times_sqlite(uri: str, project: Project, queue: str, message_id: str, created: float, ttl: float) -> None:
    # SQLite stores NaN as NULL, which these columns refuse, and any text.
    times = ("nan" if math.isnan(each) else each for each in (created, ttl))
    _update_sqlite(uri, "UPDATE message SET created = ?, ttl = ? WHERE id = ?", *times, int(message_id))


def _update_sqlite(uri: str, statement: str, *values: Any) -> None:
    connection = sqlite3.connect(drivers.parse(uri).path.replace("//", "/"))
    with connection:
        changed = connection.execute(statement, values).rowcount
    connection.close()
    assert changed == 1


def _redis_uri(folder: Path, name: str) -> str:
    return fresh_uri()


def _redis_cluster_uri(folder: Path, name: str) -> str:
    return fresh_cluster_uri()


def _corrupt_redis(uri: str, project: Project, queue: str, message_id: str) -> None:
    # The first 16 bytes hold the time of the post and the ttl; the next three the lengths of the head and of the key.
    _update_redis(uri, project, queue, message_id, lambda record: record[:16] + bytes(3) + UNREADABLE)


def _set_times_redis(uri: str, project: Project, queue: str, message_id: str, created: float, ttl: float) -> None:
    times = struct.pack(">dd", created, ttl)
    _update_redis(uri, project, queue, message_id, lambda record: times + record[16:])


def _update_redis(uri: str, project: Project, queue: str, message_id: str, change: Callable[[bytes], bytes]) -> None:
    import redis  # noqa: PLC0415 - imported for this store only

    from kombu_pool.drivers.redis.keys import queue_keys  # noqa: PLC0415 - likewise

    parsed = drivers.parse(uri)
    prefix = parsed.options.get("key_prefix", "kombu-pool")
    address = f"redis://{parsed.authority.split(',')[0]}{parsed.path}"
    client = redis.RedisCluster if parsed.scheme == "redis+cluster" else redis.Redis
    with client.from_url(address, socket_timeout=LIMIT) as store:
        records, message = queue_keys(prefix, project, queue).records, bytes.fromhex(message_id)
        store.hset(records, message, change(store.hget(records, message)))


def _mongodb_uri(folder: Path, name: str) -> str:
    return mongodb.fresh_uri()


def _standalone_mongodb_uri(folder: Path, name: str) -> str:
    return mongodb.fresh_standalone_uri()


def _emptied_mongodb_uri(folder: Path, name: str) -> str:
    return mongodb.emptied_uri(folder)


def _emptied_standalone_mongodb_uri(folder: Path, name: str) -> str:
    return mongodb.emptied_standalone_uri(folder)


def _corrupt_mongodb(uri: str, project: Project, queue: str, message_id: str) -> None:
    _update_mongodb(uri, queue, message_id, {"b": UNREADABLE})


def _set_times_mongodb(uri: str, project: Project, queue: str, message_id: str, created: float, ttl: float) -> None:
    _update_mongodb(uri, queue, message_id, {"t": created, "l": ttl})


def _update_mongodb(uri: str, queue: str, message_id: str, values: dict[str, Any]) -> None:
    import pymongo  # noqa: PLC0415 - imported for this store only

    with pymongo.MongoClient(uri) as client:
        messages = client.get_default_database()["kombu_pool_messages"]
        changed = messages.update_one({"_id": bytes.fromhex(message_id), "q": queue}, {"$set": values})
    assert changed.modified_count == 1


_MEMORY = Store(memory_uri, control=True, corrupt=_corrupt_memory, set_times=_set_times_memory)
_SQLITE = Store(_sqlite_uri, control=True, corrupt=_corrupt_sqlite, set_times=_set_times_sqlite)
_REDIS = Store(_redis_uri, control=True, corrupt=_corrupt_redis, set_times=_set_times_redis)
_MONGODB = Store(_mongodb_uri, control=True, corrupt=_corrupt_mongodb, set_times=_set_times_mongodb, examples=12)


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
