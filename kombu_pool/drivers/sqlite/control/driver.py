"""The control store in a SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.registry import FlavorsController, PoolsController
from kombu_pool.drivers.sqlite.control import counters
from kombu_pool.drivers.sqlite.control.bindings import BindingsController
from kombu_pool.drivers.sqlite.control.catalogue import CatalogueController
from kombu_pool.drivers.sqlite.control.consumers import ConsumersController
from kombu_pool.drivers.sqlite.control.queues import QueueController
from kombu_pool.drivers.sqlite.control.registry import Registry
from kombu_pool.drivers.sqlite.database import acquire
from kombu_pool.drivers.sqlite.location import address
from kombu_pool.drivers.sqlite.times import StoreClock
from kombu_pool.storage import ControlDriver as Contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.sqlite.location import Location
    from kombu_pool.drivers.uri import StoreUri
    from kombu_pool.model import Project
    from kombu_pool.storage.counters import Increments


class ControlDriver(Contract):
    """A control store in one file, which may hold messages too."""

    def __init__(self, uri: StoreUri, location: Location, clock: Clock) -> None:
        times = StoreClock(clock)
        self._database = database = acquire(location, times)
        self._closed = False
        registry = Registry(database)
        self.uri = address(location, uri.options)
        self.queue_controller = QueueController(database, times)
        self.pools_controller = PoolsController(registry)
        self.flavors_controller = FlavorsController(registry)
        self.catalogue_controller = CatalogueController(database, registry, times)
        self.bindings_controller = BindingsController(database, times)
        self.consumers_controller = ConsumersController(database, times)

    @property
    def identity(self) -> str:
        return self._database.identity

    def epoch(self) -> str:
        return self._database.current_epoch()

    def add_counters(self, increments: Increments) -> None:
        counters.add(self._database, increments)

    def counters(
        self, queues: Sequence[tuple[Project, str]] | None = None
    ) -> Mapping[tuple[Project, str], Mapping[str, int]]:
        return counters.read(self._database, queues)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._database.close()
