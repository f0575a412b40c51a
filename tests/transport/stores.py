"""The stores that the transport's tests run over. To add a store, add an entry to ``STORES``."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_numbers = itertools.count()


@dataclass(frozen=True)
class Store:
    """A kind of store.

    ``uri`` makes the URI of a new, empty one out of a folder. ``shared``: other processes see it too.
    """

    uri: Callable[[Path], str]
    shared: bool


def _memory(folder: Path) -> str:
    return f"memory://transport-{os.getpid()}-{next(_numbers)}"


def _sqlite(folder: Path) -> str:
    return f"sqlite:///{folder}/store-{next(_numbers)}.db"


STORES = {
    "memory": Store(_memory, shared=False),
    "sqlite": Store(_sqlite, shared=True),
}
