"""The driver of a control store in a Redis."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.control.bindings import BindingsController
from kombu_pool.drivers.redis.control.catalogue import CatalogueController, to_assignments
from kombu_pool.drivers.redis.control.consumers import ConsumersController
from kombu_pool.drivers.redis.control.counters import Counters
from kombu_pool.drivers.redis.control.key_encoding import name_of, scope_of, stored_name
from kombu_pool.drivers.redis.control.queues import RecordedQueues
from kombu_pool.drivers.redis.control.registry import Registry
from kombu_pool.drivers.redis.keys import control_key, control_keys
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.drivers.redis.server_check import read_identity
from kombu_pool.drivers.redis.shared import acquire, release
from kombu_pool.drivers.redis.store import now_argument
from kombu_pool.drivers.registry import FlavorsController, PoolsController
from kombu_pool.storage import ControlDriver as Contract
from kombu_pool.storage import DueMaintenance, QueueLookup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.redis.location import Location
    from kombu_pool.drivers.uri import StoreUri
    from kombu_pool.model import Project
    from kombu_pool.storage.counters import Increments

# A failover may lose what it writes; the next call writes it again.
_DUE_MAINTENANCE = script("control/due_maintenance", repeatable=True)
#: Queues of one kind that one call returns.
_DUE_QUEUES = 100


class ControlDriver(Contract):
    """The control plane in one Redis, which may be a message store too."""

    def __init__(self, uri: StoreUri, location: Location, clock: Clock) -> None:
        self._client = client = acquire(location)
        self._clock = clock
        self._epoch_key = control_key(location.key_prefix, "epoch")
        self._closed = False
        registry = Registry(client)
        self.uri = uri.text
        self.queue_controller = RecordedQueues(client, clock)
        self.pools_controller = PoolsController(registry)
        self.flavors_controller = FlavorsController(registry)
        self.catalogue_controller: CatalogueController = CatalogueController(client, clock)
        self.bindings_controller = BindingsController(client)
        self.consumers_controller = ConsumersController(client, clock)
        self._counters = Counters(client)

    @property
    def identity(self) -> str:
        """The random id that was made with the store; another one once the store was emptied. One round trip."""
        return read_identity(self._client.command, self._client.location)

    def epoch(self) -> str:
        # Lost by FLUSHALL, and by the restart of a Redis that saves nothing to a disk.
        while (epoch := self._client.command("GET", self._epoch_key)) is None:
            self._client.command("SET", self._epoch_key, secrets.token_hex(8), "NX")
        return str(epoch.decode())

    def look_up(self, queue: str, project: Project = None) -> QueueLookup:
        return self.catalogue_controller.look_up(project, queue)

    def due_maintenance(self, prefix: str = "") -> DueMaintenance:
        keys = (*control_keys(self._client.location.key_prefix).lives, self._epoch_key)
        arguments = (now_argument(self._clock), _DUE_QUEUES, stored_name(prefix))
        epoch, expired, deletions, holders, has_moves = self._client.call(_DUE_MAINTENANCE, keys, *arguments)
        return DueMaintenance(
            self.epoch() if epoch is None else str(epoch.decode()),
            [scope_of(queue) for queue in expired],
            to_assignments(*deletions),
            [name_of(holder) for holder in holders],
            bool(has_moves),
        )

    def add_counters(self, increments: Increments) -> None:
        self._counters.add(increments)

    def counters(
        self, queues: Sequence[tuple[Project, str]] | None = None
    ) -> Mapping[tuple[Project, str], Mapping[str, int]]:
        return self._counters.read(queues)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            release(self._client)
