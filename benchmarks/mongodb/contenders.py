"""The compared brokers on MongoDB, each on a private replica set of one member with default settings, over loopback.

A write of kombu_pool is acknowledged when a majority has it in its journal (``w=majority``, ``journal=true``). Kombu's
transport sets no write concern and so uses MongoDB's default, from version 5.0 on ``w=majority``, which waits for the
journal as well.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks import servers
from benchmarks.brokers import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OURS, PEER = "pool+mongodb", "mongodb://"


@contextmanager
def pool_mongodb(folder: Path) -> Iterator[Broker]:
    """Yield kombu_pool on a private server."""
    with servers.mongodb(folder) as uri:
        yield Broker(f"pool+{uri}", {})


@contextmanager
def mongodb(folder: Path) -> Iterator[Broker]:
    """Yield Kombu's MongoDB transport on a private server."""
    with servers.mongodb(folder) as uri:
        yield Broker(uri, {})
