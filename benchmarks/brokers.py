"""The brokers that are compared, and what all of them are given to carry."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu import Connection, Exchange, Queue

import kombu_pool  # noqa: F401 - it makes pool:// known to Kombu

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kombu.transport.base import StdChannel

#: 400 bytes as JSON.
BODY = {"x": "a" * 391}
QUEUE = Queue("bench", Exchange("bench", type="direct"), routing_key="bench")
PREFETCH = 64


class Broker(NamedTuple):
    """A broker URL and its transport options, in a form that can be sent to another process."""

    url: str
    options: dict[str, Any]


def sqlite(folder: Path, synchronous: str) -> Broker:
    """Ours, on a SQLite file in the folder."""
    return Broker(f"pool+{store(folder, synchronous)}", {})


def store(folder: Path, synchronous: str) -> str:
    """The URI of that SQLite file, for those who use it without Kombu."""
    return f"sqlite:///{folder / 'pool.db'}?synchronous={synchronous}"


def sqlite_full(folder: Path) -> Broker:
    """Ours as it comes: a publish returns when the disk has it."""
    return sqlite(folder, "FULL")


def sqlite_normal(folder: Path) -> Broker:
    """Ours without waiting for the disk."""
    return sqlite(folder, "NORMAL")


def pool_memory(_: Path) -> Broker:
    """Ours, on a store in this process."""
    return Broker("pool+memory://bench", {})


def memory(_: Path) -> Broker:
    """Kombu's transport in this process."""
    return Broker("memory://", {})


def filesystem(folder: Path) -> Broker:
    """Kombu's transport over a folder of files, which never waits for the disk."""
    files = str(folder / "messages")
    return Broker(
        "filesystem://",
        {"data_folder_in": files, "data_folder_out": files, "control_folder": str(folder / "control")},
    )


def sqlalchemy(folder: Path) -> Broker:
    """Kombu's transport over SQLAlchemy and SQLite, which waits for the disk."""
    return Broker(f"sqla+sqlite:///{folder / 'kombu.db'}", {})


@contextmanager
def connected(broker: Broker) -> Iterator[StdChannel]:
    """Connect, declare the queue, and lend a channel."""
    url, options = broker
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        QUEUE(channel).declare()
        yield channel
