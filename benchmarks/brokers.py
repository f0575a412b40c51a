"""The compared brokers, and the message body that all of them carry."""

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
    """A broker URL and its transport options, which can be sent to another process."""

    url: str
    options: dict[str, Any]


def sqlite(folder: Path, synchronous: str) -> Broker:
    """Return kombu_pool on a SQLite file in the folder."""
    return Broker(f"pool+{store(folder, synchronous)}", {})


def store(folder: Path, synchronous: str) -> str:
    """Return the URI of that SQLite file, for use without Kombu."""
    return f"sqlite:///{folder / 'pool.db'}?synchronous={synchronous}"


def sqlite_full(folder: Path) -> Broker:
    """Return kombu_pool with the default: a publish returns when the message is on the disk."""
    return sqlite(folder, "FULL")


def sqlite_normal(folder: Path) -> Broker:
    """Return kombu_pool on SQLite without waiting for the disk."""
    return sqlite(folder, "NORMAL")


def pool_memory(_: Path) -> Broker:
    """Return kombu_pool on a store in this process."""
    return Broker("pool+memory://bench", {})


def memory(_: Path) -> Broker:
    """Return Kombu's in-process transport."""
    return Broker("memory://", {})


def filesystem(folder: Path) -> Broker:
    """Return Kombu's filesystem transport, which never waits for the disk."""
    files = str(folder / "messages")
    return Broker(
        "filesystem://",
        {"data_folder_in": files, "data_folder_out": files, "control_folder": str(folder / "control")},
    )


def sqlalchemy(folder: Path) -> Broker:
    """Return Kombu's SQLAlchemy transport on SQLite, which waits for the disk."""
    return Broker(f"sqla+sqlite:///{folder / 'kombu.db'}", {})


@contextmanager
def connected(broker: Broker) -> Iterator[StdChannel]:
    """Connect, declare the queue, and yield a channel."""
    url, options = broker
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        QUEUE(channel).declare()
        yield channel
