"""The control store in a MongoDB."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument

from kombu_pool.drivers.mongodb.client import shared_clients
from kombu_pool.drivers.mongodb.control import counters
from kombu_pool.drivers.mongodb.control.bindings import BindingsController
from kombu_pool.drivers.mongodb.control.catalogue import CatalogueController
from kombu_pool.drivers.mongodb.control.consumers import ConsumersController
from kombu_pool.drivers.mongodb.control.holders import LIVE_HOLDERS, live_holders
from kombu_pool.drivers.mongodb.control.lifetimes import Lifetimes, due_filter
from kombu_pool.drivers.mongodb.control.lives import Lives
from kombu_pool.drivers.mongodb.control.queues import RecordedQueues
from kombu_pool.drivers.mongodb.control.registry import Registry
from kombu_pool.drivers.mongodb.control.tables import HAS_MOVE, HOLDERS, QUEUES, REGISTRY, Tables
from kombu_pool.drivers.registry import FlavorsController, PoolsController
from kombu_pool.model import DELETING
from kombu_pool.storage import ControlDriver as Contract
from kombu_pool.storage import DueMaintenance, QueueLookup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.mongodb.location import Location
    from kombu_pool.drivers.uri import StoreUri
    from kombu_pool.model import Project
    from kombu_pool.storage.counters import Increments

_EPOCH = "epoch"
#: Bound of the queues that one answer names: a process deletes them in the same few commands.
_QUEUES_BATCH = 500
_EXPIRED, _DELETIONS, _MOVES = "expired", "deletions", "moves"


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
        self._lifetimes = lifetimes = Lifetimes(tables, clock)
        self.queue_controller = RecordedQueues(tables, lifetimes)
        self.pools_controller = PoolsController(registry)
        self.flavors_controller = FlavorsController(registry)
        self.catalogue_controller: CatalogueController = CatalogueController(tables, lives, lifetimes)
        self.bindings_controller = BindingsController(tables)
        self.consumers_controller = ConsumersController(tables, lives, lifetimes)

    @property
    def identity(self) -> str:
        return self._tables.identity

    def epoch(self) -> str:
        # Read each time: the database may have been dropped, or restored from a backup.
        with self._client.translated():
            return self._compare_epoch(self._tables[REGISTRY].find_one({"_id": _EPOCH}))

    def _compare_epoch(self, found: dict[str, Any] | None) -> str:
        """Return the epoch in its document, begun if there is none; recreate the indexes if it is another."""
        epoch = self._begin_epoch() if found is None else str(found["epoch"])
        if self._epoch not in ("", epoch):
            self._tables.recreate_indexes()
        self._epoch = epoch
        return epoch

    def look_up(self, queue: str, project: Project = None) -> QueueLookup:
        return self.catalogue_controller.look_up(project, queue)

    def due_maintenance(self, prefix: str = "") -> DueMaintenance:
        now = self._lifetimes.now()
        kinds = {_EXPIRED: due_filter(now), _DELETIONS: {"f": DELETING}, _MOVES: HAS_MOVE}
        with self._client.translated():
            # In one command whether there is anything to do: seldom there is.
            pipeline: list[dict[str, Any]] = [{"$match": {"_id": _EPOCH}}]
            for kind, where in kinds.items():
                first = [{"$match": where}, {"$limit": 1}, {"$project": {"_id": {"$literal": kind}}}]
                pipeline.append({"$unionWith": {"coll": self._tables[QUEUES].name, "pipeline": first}})
            if prefix:
                live = live_holders(prefix, now)
                pipeline.append({"$unionWith": {"coll": self._tables[HOLDERS].name, "pipeline": live}})
            found = {one["_id"]: one for one in self._tables[REGISTRY].aggregate(pipeline)}
            epoch = self._compare_epoch(found.get(_EPOCH))
        return DueMaintenance(
            epoch,
            self.consumers_controller.expired_queues(_QUEUES_BATCH) if _EXPIRED in found else [],
            self.catalogue_controller.deletions(_QUEUES_BATCH) if _DELETIONS in found else [],
            found[LIVE_HOLDERS]["h"] if LIVE_HOLDERS in found else [],
            _MOVES in found,
        )

    def _begin_epoch(self) -> str:
        self._tables.recreate_indexes()
        new = {"$setOnInsert": {"epoch": secrets.token_hex(8)}}
        found: Any = self._tables[REGISTRY].find_one_and_update(
            {"_id": _EPOCH}, new, upsert=True, return_document=ReturnDocument.AFTER
        )
        return str(found["epoch"])

    def add_counters(self, increments: Increments) -> None:
        counters.add(self._tables, increments)

    def counters(
        self, queues: Sequence[tuple[Project, str]] | None = None
    ) -> Mapping[tuple[Project, str], Mapping[str, int]]:
        return counters.read(self._tables, queues)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            shared_clients.release(self._client)
