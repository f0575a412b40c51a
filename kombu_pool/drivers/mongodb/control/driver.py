"""The control store in a MongoDB."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument

from kombu_pool.drivers.mongodb.client import shared_clients
from kombu_pool.drivers.mongodb.control.bindings import BindingsController
from kombu_pool.drivers.mongodb.control.catalogue import CatalogueController
from kombu_pool.drivers.mongodb.control.consumers import ConsumersController
from kombu_pool.drivers.mongodb.control.lifetimes import Lifetimes
from kombu_pool.drivers.mongodb.control.lives import Lives
from kombu_pool.drivers.mongodb.control.queues import RecordedQueues
from kombu_pool.drivers.mongodb.control.registry import Registry
from kombu_pool.drivers.mongodb.control.tables import REGISTRY, Tables
from kombu_pool.drivers.registry import FlavorsController, PoolsController
from kombu_pool.storage import ControlDriver as Contract

if TYPE_CHECKING:
    from kombu_pool.clock import Clock
    from kombu_pool.drivers.mongodb.location import Location
    from kombu_pool.drivers.uri import StoreUri

_EPOCH = "epoch"


class ControlDriver(Contract):
    """The control plane in one database of a MongoDB, which may contain messages, too."""

    def __init__(self, uri: StoreUri, location: Location, clock: Clock) -> None:
        self._client = client = shared_clients.acquire(location)
        self._closed = False
        #: The epoch at the last call of :meth:`epoch`.
        self._epoch = ""
        self._tables = tables = Tables(client)
        registry = Registry(tables)
        lives = Lives(tables, registry)
        self.uri = uri.text
        lifetimes = Lifetimes(tables, clock)
        self.queue_controller = RecordedQueues(tables, lifetimes)
        self.pools_controller = PoolsController(registry)
        self.flavors_controller = FlavorsController(registry)
        self.catalogue_controller = CatalogueController(tables, lives, lifetimes)
        self.bindings_controller = BindingsController(tables)
        self.consumers_controller = ConsumersController(tables, lives, lifetimes)

    @property
    def identity(self) -> str:
        return self._tables.identity

    def epoch(self) -> str:
        # Read each time: the database may have been dropped, or restored from a backup.
        with self._client.translated():
            found = self._tables[REGISTRY].find_one({"_id": _EPOCH})
            epoch = self._begin_epoch() if found is None else str(found["epoch"])
            if self._epoch not in ("", epoch):
                self._tables.recreate_indexes()
        self._epoch = epoch
        return epoch

    def _begin_epoch(self) -> str:
        self._tables.recreate_indexes()
        new = {"$setOnInsert": {"epoch": secrets.token_hex(8)}}
        found: Any = self._tables[REGISTRY].find_one_and_update(
            {"_id": _EPOCH}, new, upsert=True, return_document=ReturnDocument.AFTER
        )
        return str(found["epoch"])

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            shared_clients.release(self._client)
