"""The stores that a run of the suite covers."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kombu_pool.model import Project

#: What replaces a record that a test makes unreadable: a byte that MessagePack never uses.
UNREADABLE = b"\xc1"
_numbers = itertools.count()


@dataclass(frozen=True)
class Store:
    """A kind of store, for the suite to run over.

    Attributes:
        uri: returns the URI of a new, empty store, for a folder that the test deletes afterwards and a name.
        control: whether the driver is tested as a control store, too.
        pools: the number of pools of a pooling driver over such stores; 0 tests the driver by itself.
        corrupt: replaces the record of a message by :data:`UNREADABLE`, bypassing the driver; called with the store's
            URI, the project, the queue and the message's id. Without it, the tests of unreadable records are skipped.
        set_times: replaces the stored time of a message's post and its ttl, which follow the arguments of ``corrupt``.
            Without it, the tests of records with impossible times are skipped.
        examples: the number of random sequences of operations that are compared with the memory store.
    """

    uri: Callable[[Path, str], str]
    control: bool = False
    pools: int = 0
    corrupt: Callable[[str, Project, str, str], None] | None = None
    set_times: Callable[[str, Project, str, str, float, float], None] | None = None
    examples: int = 40

    @property
    def is_reference(self) -> bool:
        """Whether this is the memory store itself, without pooling."""
        return self.uri is memory_uri and not self.pools


def memory_uri(folder: Path, name: str) -> str:  # noqa: ARG001 - as Store.uri is called
    """Return the URI of a new memory store."""
    return f"memory://testing-{os.getpid()}-{next(_numbers)}-{name}"


#: The memory store, to which the others are compared.
REFERENCE = Store(memory_uri)
