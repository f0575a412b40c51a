"""The stores of the chaos scenarios, and their raw contents."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pymongo
import redis

from tests.support.celery.brokers import MongoBroker, RedisBroker, SqliteBroker
from tests.support.limits import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.celery.brokers import Broker


@dataclass(frozen=True)
class Store:
    """A kind of store: its broker in a folder, and all rows, key members or documents of the store at a URL."""

    broker: Callable[[Path], Broker]
    contents: Callable[[str], list[str]]


def _sqlite(url: str) -> Iterator[str]:
    path = url.removeprefix("pool+sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - the store's own names
                yield f"{table}: {row}"


def _redis(url: str) -> Iterator[str]:
    with redis.Redis.from_url(url.removeprefix("pool+"), socket_timeout=LIMIT) as client:
        for key in client.scan_iter(count=1000):
            kind = client.type(key)
            if kind == b"hash":
                # A live queue keeps idempotency records for ten minutes: one field with the prefix @ for each producer.
                fields = [pair for pair in client.hgetall(key).items() if not pair[0].startswith(b"@")]
                yield from (f"{key!r}: {name!r} {value!r}" for name, value in fields)
            elif kind == b"zset":
                yield from (f"{key!r}: {member!r}" for member in client.zrange(key, 0, -1))
            elif kind == b"set":
                yield from (f"{key!r}: {member!r}" for member in client.smembers(key))
            elif kind == b"list":
                yield from (f"{key!r}: {member!r}" for member in client.lrange(key, 0, -1))
            else:
                yield f"{key!r}: {kind!r}"


def _mongodb(url: str) -> Iterator[str]:
    with pymongo.MongoClient(url.removeprefix("pool+")) as client:
        database = client.get_default_database()
        # The record of a deleted queue is kept for two minutes, so that concurrent posts to it are deleted as well.
        for name in set(database.list_collection_names()) - {"kombu_pool_deleted_queues"}:
            yield from (f"{name}: {document}" for document in database[name].find())


STORES = {
    "sqlite": Store(SqliteBroker, lambda url: list(_sqlite(url))),
    "redis": Store(RedisBroker, lambda url: list(_redis(url))),
    "mongodb": Store(MongoBroker, lambda url: list(_mongodb(url))),
}
