"""The driver of a message store in a Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.redis.claims import ClaimController
from kombu_pool.drivers.redis.collector import Collector
from kombu_pool.drivers.redis.dead_letters import DeadLetters
from kombu_pool.drivers.redis.messages import MessageController
from kombu_pool.drivers.redis.moving import MoveController
from kombu_pool.drivers.redis.posting import MessageWriter
from kombu_pool.drivers.redis.queues import QueueController
from kombu_pool.drivers.redis.server_check import parse_info, read_identity
from kombu_pool.drivers.redis.shared import acquire, release
from kombu_pool.drivers.redis.store import Store
from kombu_pool.drivers.redis.subscriptions import SubscriptionController
from kombu_pool.drivers.redis.watch import ChannelWatch, RedisWatch, WakeupListWatch
from kombu_pool.errors import (
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    KombuPoolError,
)
from kombu_pool.model import Capabilities
from kombu_pool.storage import DataDriver as Contract

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.redis.location import Location
    from kombu_pool.model import Project
    from kombu_pool.storage import DeadLetterHooks

CAPABILITIES = tuple(Capabilities)


class DataDriver(Contract):
    """Messages in one Redis, under one key prefix."""

    capabilities = CAPABILITIES

    def __init__(self, location: Location, clock: Clock, dead_letter_hooks: DeadLetterHooks) -> None:
        self.dead_letter_hooks = dead_letter_hooks
        self._client = acquire(location)
        self._store = store = Store(self._client, clock)
        self._closed = False
        writer = MessageWriter(store)
        self._dead_letters = dead_letters = DeadLetters(store, writer, dead_letter_hooks)
        claims = ClaimController(store, dead_letters)
        self.queue_controller = QueueController(store)
        self.message_controller = MessageController(store, writer, claims, dead_letters, location)
        self.claim_controller = claims
        self.move_controller = MoveController(store)
        self.subscription_controller = SubscriptionController(self._client, clock)
        self._collector = Collector(store, self.subscription_controller)
        self.connect_controllers()

    @property
    def identity(self) -> str:
        """The random id that was made with the store; another one once the store was emptied. One round trip."""
        return read_identity(self._client.command, self._client.location)

    def watch(self, queues: Iterable[tuple[Project, str]]) -> RedisWatch:
        return (ChannelWatch if self._client.is_cluster else WakeupListWatch)(self._store, queues)

    def part_of(self, queue: str, project: Project = None) -> str | None:
        return self._client.node_of(self._store.keys(project, queue).queue)

    def health(self) -> dict[str, Any]:
        health: dict[str, Any] = {"storage_reachable": False, "uri": str(self._client.location)}
        if self._closed:
            return {**health, "error": "closed"}
        try:
            health["queues"] = self._client.command("ZCARD", self._store.index)
            health["storage_reachable"] = True
        except KombuPoolError as error:
            return {**health, "error": str(error)}
        try:
            info = parse_info(self._client.command("INFO"))
        except ConnectionError as error:
            return {**health, "error": str(error)}
        except KombuPoolError:
            return health  # the server refuses INFO, which only informs
        return {**health, "version": info.get("redis_version"), "bytes": int(info.get("used_memory", 0))}

    def dead_letter_all(self) -> int:
        return self._dead_letters.dead_letter_all()

    def gc(self) -> int:
        return self._collector.collect()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            release(self._client)
