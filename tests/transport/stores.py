"""The stores that the transport's tests run over. To add a store, add an entry to ``STORES``."""

from __future__ import annotations

import itertools
import os
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kombu_pool import drivers

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


STORES = {
    "memory": Store(_memory, _corrupt_memory, shared=False),
    "sqlite": Store(_sqlite, _corrupt_sqlite, shared=True),
}
