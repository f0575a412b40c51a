"""The driver of a control store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.memory.control import counters
from kombu_pool.drivers.memory.control.bindings import BindingsController
from kombu_pool.drivers.memory.control.catalogue import CatalogueController
from kombu_pool.drivers.memory.control.consumers import ConsumersController
from kombu_pool.drivers.memory.control.queues import QueueController
from kombu_pool.drivers.memory.control.registry import Registry
from kombu_pool.drivers.registry import FlavorsController, PoolsController
from kombu_pool.storage import ControlDriver as Contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.control.store import ControlStore
    from kombu_pool.model import Project
    from kombu_pool.storage.counters import Increments


class ControlDriver(Contract):
    """A control store of this process. It outlives its drivers."""

    def __init__(self, uri: str, store: ControlStore, clock: Clock) -> None:
        self._store = store
        registry = Registry(store)
        self.uri = uri
        self.queue_controller = QueueController(store, clock)
        self.pools_controller = PoolsController(registry)
        self.flavors_controller = FlavorsController(registry)
        self.catalogue_controller = CatalogueController(store, registry, clock)
        self.bindings_controller = BindingsController(store)
        self.consumers_controller = ConsumersController(store, clock)

    @property
    def identity(self) -> str:
        return self._store.identity

    def add_counters(self, increments: Increments) -> None:
        counters.add(self._store, increments)

    def counters(
        self, queues: Sequence[tuple[Project, str]] | None = None
    ) -> Mapping[tuple[Project, str], Mapping[str, int]]:
        return counters.read(self._store, queues)

    def close(self) -> None:
        """Do nothing: the store stays for its other drivers."""
