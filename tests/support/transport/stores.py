"""The stores that the transport's tests run over. To add a store, add an entry to ``STORES``."""

from __future__ import annotations

import itertools
import os
import sqlite3
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kombu_pool import drivers
from tests.support.limits import LIMIT
from tests.support.servers import mongodb
from tests.support.servers.redis_shared import fresh_cluster_uri, fresh_uri

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: A byte that MessagePack never uses.
BROKEN = b"\xc1"
_numbers = itertools.count()


@dataclass(frozen=True)
class Store:
    """A kind of store.

    ``uri`` makes the URI of a new, empty one out of a folder. ``corrupt_first`` breaks the record of the first message
    of a queue, given the store's URI. ``shared``: other processes see it too.
    """

    uri: Callable[[Path], str]
    corrupt_first: Callable[[str, str], None]
    shared: bool


def _memory(folder: Path) -> str:
    return f"memory://transport-{os.getpid()}-{next(_numbers)}"


def _sqlite(folder: Path) -> str:
    return f"sqlite:///{folder}/store-{next(_numbers)}.db"


def _corrupt_memory(uri: str, queue: str) -> None:
    from kombu_pool.drivers.memory import data_store, name_of  # noqa: PLC0415 - only where it is tested

    messages = data_store(name_of(drivers.parse(uri))).queues[None, queue].backlog.messages
    messages[next(iter(messages))].record = BROKEN


def _corrupt_sqlite(uri: str, queue: str) -> None:
    connection = sqlite3.connect(drivers.parse(uri).path.replace("//", "/"))
    with connection:
        connection.execute("UPDATE message SET record = ? WHERE id = (SELECT min(id) FROM message)", (BROKEN,))
    connection.close()


def _redis(folder: Path) -> str:
    return fresh_uri()


def _redis_cluster(folder: Path) -> str:
    return fresh_cluster_uri()


def _corrupt_first_redis(uri: str, queue: str) -> None:
    import redis  # noqa: PLC0415 - only where it is tested

    from kombu_pool.drivers.redis.keys import queue_keys  # noqa: PLC0415

    parsed = drivers.parse(uri)
    keys = queue_keys(parsed.options.get("key_prefix", "kombu-pool"), None, queue)
    address = f"redis://{parsed.authority.split(',')[0]}{parsed.path}"
    client = redis.RedisCluster if parsed.scheme == "redis+cluster" else redis.Redis
    with client.from_url(address, socket_timeout=LIMIT) as store:
        message = min(store.hkeys(keys.records))
        # The creation time, the ttl and the length of the head stay valid.
        store.hset(keys.records, message, store.hget(keys.records, message)[:16] + b"\0\0" + BROKEN)


def _mongodb(folder: Path) -> str:
    return mongodb.fresh_uri()


def _corrupt_first_mongodb(uri: str, queue: str) -> None:
    import pymongo  # noqa: PLC0415 - only where it is tested

    with pymongo.MongoClient(uri) as client:
        messages = client.get_default_database()["kombu_pool_messages"]
        changed = messages.find_one_and_update(
            {"q": queue, "b": {"$exists": True}}, {"$set": {"b": BROKEN}}, sort=[("_id", 1)]
        )
    assert changed is not None


STORES = {
    "memory": Store(_memory, _corrupt_memory, shared=False),
    "sqlite": Store(_sqlite, _corrupt_sqlite, shared=True),
    "redis": Store(_redis, _corrupt_first_redis, shared=True),
    "redis-cluster": Store(_redis_cluster, _corrupt_first_redis, shared=True),
    "mongodb": Store(_mongodb, _corrupt_first_mongodb, shared=True),
}


#: The same stores for tests that start no process: on MongoDB a test gets the emptied databases of the one before it.
STORES_OF_ONE_PROCESS = {**STORES, "mongodb": replace(STORES["mongodb"], uri=mongodb.emptied_uri)}


def two_pools(store: Store, folder: Path) -> list[dict[str, str]]:
    """Return the declarations of two pools of new, empty stores."""
    pools = []
    for name in ("one", "two"):
        (folder / name).mkdir()
        pools.append({"name": name, "uri": store.uri(folder / name)})
    return pools
