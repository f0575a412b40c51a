"""Who is compared on MongoDB, each on a private replica set of one member, as it comes, over the loopback interface.

A write of ours is acknowledged when a majority has it in its journal (``w=majority``, ``journal=true``). Kombu's
transport says nothing of that, and so gets what MongoDB does from version 5.0 on for who says nothing: ``w=majority``,
which waits for the journal as well.
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
    """Ours, on a server of its own."""
    with servers.mongodb(folder) as uri:
        yield Broker(f"pool+{uri}", {})


@contextmanager
def mongodb(folder: Path) -> Iterator[Broker]:
    """Kombu's MongoDB transport, on a server of its own."""
    with servers.mongodb(folder) as uri:
        yield Broker(uri, {})
