"""The message store in a MongoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo.errors import OperationFailure

from kombu_pool.drivers.mongodb.claims import ClaimController
from kombu_pool.drivers.mongodb.client import shared_clients
from kombu_pool.drivers.mongodb.collector import Collector
from kombu_pool.drivers.mongodb.dead_letters import DeadLetters
from kombu_pool.drivers.mongodb.messages import MessageController
from kombu_pool.drivers.mongodb.moving import MoveController
from kombu_pool.drivers.mongodb.queue_scan import QueueScanner
from kombu_pool.drivers.mongodb.queues import QueueController
from kombu_pool.drivers.mongodb.subscriptions import SubscriptionController
from kombu_pool.drivers.mongodb.watch import MongoWatch
from kombu_pool.errors import KombuPoolError
from kombu_pool.model import Capabilities
from kombu_pool.storage import DataDriver as Contract

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.mongodb.location import Location
    from kombu_pool.model import Project
    from kombu_pool.storage import DeadLetterHooks

CAPABILITIES = tuple(Capabilities)


class DataDriver(Contract):
    """Messages in one database of a MongoDB."""

    capabilities = CAPABILITIES

    def __init__(self, location: Location, clock: Clock, dead_letter_hooks: DeadLetterHooks) -> None:
        self.dead_letter_hooks = dead_letter_hooks
        self._client = shared_clients.acquire(location)
        self._store = store = QueueScanner(self._client, clock)
        self._closed = False
        self._dead_letters = DeadLetters(store, dead_letter_hooks)
        claims = ClaimController(store, self._dead_letters)
        self.queue_controller = QueueController(store)
        self.message_controller = MessageController(store, claims, self._dead_letters, location)
        self.claim_controller = claims
        self.subscription_controller = SubscriptionController(store)
        self.move_controller = MoveController(store)
        self._collector = Collector(store, self._dead_letters, self.subscription_controller)
        self.connect_controllers()

    @property
    def identity(self) -> str:
        return self._store.identity

    def watch(self, queues: Iterable[tuple[Project, str]]) -> MongoWatch:
        return MongoWatch(self._store, queues)

    def health(self) -> dict[str, Any]:
        health: dict[str, Any] = {"storage_reachable": False, "uri": str(self._client.location)}
        if self._closed:
            return {**health, "error": "closed"}
        try:
            with self._client.translated():
                health["queues"] = self._store.queues.estimated_document_count()
                health["storage_reachable"] = True
                health["version"] = self._client.mongo_client.server_info().get("version")
                health["bytes"] = self._size()
        except KombuPoolError as error:
            return {**health, "error": str(error)}
        return health

    def _size(self) -> int | None:
        """Return the bytes that the messages take on disk, with their indexes; None if the server does not tell."""
        try:
            parts = [*self._store.messages.aggregate([{"$collStats": {"storageStats": {}}}])]
        except OperationFailure:
            return None
        stats = [part["storageStats"] for part in parts]
        return int(sum(one.get("storageSize", 0) + one.get("totalIndexSize", 0) for one in stats))

    def dead_letter_all(self) -> int:
        with self._client.translated():
            return self._dead_letters.dead_letter_all()

    def gc(self) -> int:
        return self._collector.collect()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            shared_clients.release(self._client)
