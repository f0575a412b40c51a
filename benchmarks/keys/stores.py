"""The stores that are measured here, each as the broker of a pool."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks import servers
from benchmarks.mongodb.contenders import pool_mongodb
from benchmarks.redis.contenders import pool_redis
from benchmarks.writers import sqlite

if TYPE_CHECKING:
    from benchmarks.contenders import Contender


def stores() -> dict[str, Contender]:
    """Return SQLite, which waits for the disk, and the stores whose server is installed."""
    found: dict[str, Contender] = {"SQLite": partial(sqlite, "FULL")}
    if servers.has_redis():
        found["Redis"] = pool_redis
    if servers.has_mongodb():
        found["MongoDB"] = pool_mongodb
    return found
