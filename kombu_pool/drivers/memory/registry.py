"""One control store: what the control plane's controllers keep, in dictionaries."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from kombu_pool.drivers.memory.queues import QueueRecord
    from kombu_pool.model import Binding, Project

Scope: TypeAlias = "tuple[Project, str]"


@dataclass(slots=True)
class StoredPool:
    """A pool; ``options`` is a record."""

    name: str
    weight: int
    uri: str
    flavor: str | None
    options: bytes


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
    """How a queue is held: by whom, for how long it may be without, and since when the seconds count."""

    lifetime: float | None = None
    counts_since: float | None = None
    holders: dict[str, StoredHolder] = field(default_factory=dict)


@dataclass(slots=True)
class StoredHolder:
    """A holder of one queue, and when it dies unless it is renewed."""

    dies: float
    consuming: bool


class ControlStore:
    """What one control store keeps. Whoever reads or changes it holds ``lock``."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.queues: dict[Scope, QueueRecord] = {}
        self.pools: dict[str, StoredPool] = {}
        self.flavors: dict[Scope, list[str]] = {}
        self.catalogue: dict[Scope, str] = {}
        self.exchanges: dict[Scope, StoredExchange] = {}
        self.bindings: list[tuple[Project, Binding]] = []
        self.usage: dict[Scope, StoredUsage] = {}
        self._generations = itertools.count(1)

    def next_generation(self) -> int:
        """Return a number that this store never gave before."""
        return next(self._generations)
