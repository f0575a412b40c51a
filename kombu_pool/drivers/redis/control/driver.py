"""The control store in a Redis."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.control.bindings import BindingsController
from kombu_pool.drivers.redis.control.catalogue import CatalogueController
from kombu_pool.drivers.redis.control.consumers import ConsumersController
from kombu_pool.drivers.redis.control.flavors import FlavorsController
from kombu_pool.drivers.redis.control.pools import PoolsController
from kombu_pool.drivers.redis.control.queues import RecordedQueues
from kombu_pool.drivers.redis.keys import control_key
from kombu_pool.drivers.redis.links import acquire, release
from kombu_pool.storage import ControlDriver as Contract

if TYPE_CHECKING:
    from kombu_pool.clock import Clock
    from kombu_pool.drivers.redis.location import Location


class ControlDriver(Contract):
    """The control plane in one Redis, which may hold messages too."""

    def __init__(self, uri: str, location: Location, clock: Clock) -> None:
        self._link = link = acquire(location)
        self._closed = False
        self.uri = uri
        self.queue_controller = RecordedQueues(link)
        self.pools_controller = PoolsController(link)
        self.flavors_controller = FlavorsController(link)
        self.catalogue_controller = CatalogueController(link)
        self.bindings_controller = BindingsController(link)
        self.consumers_controller = ConsumersController(link, clock)

    def epoch(self) -> str:
        # A Redis that keeps nothing on a disk is empty after a restart, and FLUSHALL is quickly said.
        key = control_key(self._link.location.key_prefix, "epoch")
        while (epoch := self._link.command("GET", key)) is None:
            self._link.command("SET", key, secrets.token_hex(8), "NX")
        return str(epoch.decode())

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            release(self._link)
