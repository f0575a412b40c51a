"""One control store: the state of the control plane's controllers, in dictionaries."""

from __future__ import annotations

import itertools
import math
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from kombu_pool.drivers.registry import Records
from kombu_pool.model import DELETING

if TYPE_CHECKING:
    from kombu_pool.drivers.memory.codec import QueueRecord
    from kombu_pool.model import Assignment, Binding, Project

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

    def used_until(self) -> float | None:
        """Return the time until which the queue was held or touched; None if its lifetime does not count yet."""
        moments = [held.expires for held in self.holders.values()]
        if self.counts_since is not None:
            moments.append(self.counts_since)
        return max(moments, default=None)


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
        self.catalogue: dict[Scope, Assignment] = {}
        self.exchanges: dict[Scope, StoredExchange] = {}
        self.bindings: list[tuple[Project, Binding]] = []
        self.usage: dict[Scope, StoredUsage] = {}
        #: By queue and by name; those of a queue without an assignment are deleted.
        self.counters: dict[Scope, dict[str, int]] = {}
        self._generations = itertools.count(1)
        self._incarnations = itertools.count(1)
        # A store of this name may have been dropped, and its incarnations live on in the pools.
        self._epoch = secrets.token_hex(8)

    def next_generation(self) -> int:
        """Return a number that this store has never returned before."""
        return next(self._generations)

    def next_incarnation(self) -> str:
        """Return an incarnation that no store has ever returned before."""
        return f"{self._epoch}.{next(self._incarnations)}"

    def expires(self, scope: Scope) -> float:
        """Return the time at which the queue expires, or has expired; infinite if it does not."""
        usage = self.usage.get(scope)
        since = None if usage is None else usage.used_until()
        return math.inf if usage is None or usage.lifetime is None or since is None else since + usage.lifetime

    def is_expired(self, scope: Scope, now: float) -> bool:
        """Return whether the queue has been without a live holder for longer than its lifetime."""
        return self.expires(scope) <= now

    def begin_deletion(self, scope: Scope, assignment: Assignment) -> None:
        """Mark an assignment as DELETING; delete the queue's record, lifetime, holders and counters."""
        self.catalogue[scope] = assignment._replace(state=DELETING)
        self.queues.pop(scope, None)
        self.usage.pop(scope, None)
        self.counters.pop(scope, None)
