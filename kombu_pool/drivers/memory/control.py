"""The control store's driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.memory.bindings import BindingsController
from kombu_pool.drivers.memory.catalogue import CatalogueController
from kombu_pool.drivers.memory.consumers import ConsumersController
from kombu_pool.drivers.memory.flavors import FlavorsController
from kombu_pool.drivers.memory.pools import PoolsController
from kombu_pool.drivers.memory.queues import RegisteredQueues
from kombu_pool.storage import ControlDriver as Contract

if TYPE_CHECKING:
    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.registry import ControlStore


class ControlDriver(Contract):
    """One control store of this process. Closing a driver leaves the store as it is."""

    def __init__(self, uri: str, store: ControlStore, clock: Clock) -> None:
        self.uri = uri
        self.queue_controller = RegisteredQueues(store)
        self.pools_controller = PoolsController(store)
        self.flavors_controller = FlavorsController(store)
        self.catalogue_controller = CatalogueController(store)
        self.bindings_controller = BindingsController(store)
        self.consumers_controller = ConsumersController(store, clock)

    def close(self) -> None:
        """Leave the store as it is."""
