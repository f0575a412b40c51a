"""The message store in a Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.redis import links
from kombu_pool.drivers.redis.burying import Burying
from kombu_pool.drivers.redis.claiming import Lender
from kombu_pool.drivers.redis.claims import ClaimController
from kombu_pool.drivers.redis.collector import Collector
from kombu_pool.drivers.redis.dead_letters import DeadLetters
from kombu_pool.drivers.redis.messages import MessageController
from kombu_pool.drivers.redis.posting import Poster
from kombu_pool.drivers.redis.queues import QueueController
from kombu_pool.drivers.redis.server_check import read_info
from kombu_pool.drivers.redis.store import Store
from kombu_pool.drivers.redis.subscriptions import SubscriptionController
from kombu_pool.drivers.redis.watch import BellWatch, ChannelWatch, RedisWatch
from kombu_pool.errors import KombuPoolError
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
    """Messages in one Redis."""

    capabilities = CAPABILITIES

    def __init__(self, location: Location, clock: Clock, dead_letter_hooks: DeadLetterHooks) -> None:
        self.dead_letter_hooks = dead_letter_hooks
        self._link = links.acquire(location)
        self._store = store = Store(self._link, clock)
        self._closed = False
        poster = Poster(store)
        dead_letters = DeadLetters(store, poster, dead_letter_hooks)
        self._burying = burying = Burying(store, dead_letters)
        lender = Lender(store, dead_letters, burying)
        self.queue_controller = QueueController(store)
        self.message_controller = MessageController(store, poster, lender, burying, location.max_message_size)
        self.claim_controller = ClaimController(store, lender)
        self.subscription_controller = SubscriptionController(self._link, clock)
        self._collector = Collector(store, self.subscription_controller)

    def watch(self, queues: Iterable[tuple[Project, str]]) -> RedisWatch:
        return (ChannelWatch if self._link.is_cluster else BellWatch)(self._store, queues)

    def is_alive(self) -> bool:
        return bool(self.health()["storage_reachable"])

    def health(self) -> dict[str, Any]:
        health: dict[str, Any] = {"storage_reachable": False, "uri": str(self._link.location)}
        if self._closed:
            return {**health, "error": "closed"}
        try:
            health["queues"] = self._link.command("ZCARD", self._store.index)
            health["storage_reachable"] = True
            facts = read_info(self._link.command("INFO"))
        except KombuPoolError as error:
            return {**health, "error": str(error)}
        return {**health, "version": facts.get("redis_version"), "bytes": int(facts.get("used_memory", 0))}

    def dead_letter_all(self) -> int:
        return self._burying.bury_all()

    def gc(self) -> int:
        return self._collector.collect()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            links.release(self._link)
