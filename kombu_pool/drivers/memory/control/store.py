"""One control store: the state of the control plane's controllers, in dictionaries."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from kombu_pool.drivers.registry import Records

if TYPE_CHECKING:
    from kombu_pool.drivers.memory.codec import QueueRecord
    from kombu_pool.model import Binding, Project

Scope: TypeAlias = "tuple[Project, str]"


@dataclass(slots=True)
class StoredExchange:
    """An exchange; ``arguments`` is a record."""

    type: str
    durable: bool
    auto_delete: bool
    arguments: bytes
    generation: int


@dataclass(slots=True)
class StoredUsage:
    """A queue's holders, its lifetime without them in seconds, and the time from which that counts."""

    lifetime: float | None = None
    counts_since: float | None = None
    holders: dict[str, StoredHolder] = field(default_factory=dict)


@dataclass(slots=True)
class StoredHolder:
    """A holder of one queue; it is live until ``expires``, unless it is renewed."""

    expires: float
    consuming: bool


class ControlStore:
    """The content of one control store. Every access to it holds ``lock``."""

    def __init__(self, identity: str = "") -> None:
        self.identity = identity
        self.lock = threading.RLock()
        self.queues: dict[Scope, QueueRecord] = {}
        self.records = Records()
        self.catalogue: dict[Scope, str] = {}
        self.exchanges: dict[Scope, StoredExchange] = {}
        self.bindings: list[tuple[Project, Binding]] = []
        self.usage: dict[Scope, StoredUsage] = {}
        self._generations = itertools.count(1)

    def next_generation(self) -> int:
        """Return a number that this store has never returned before."""
        return next(self._generations)
