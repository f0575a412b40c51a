"""The driver of a message store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.memory.claims import ClaimController
from kombu_pool.drivers.memory.dead_letters import DeadLetters
from kombu_pool.drivers.memory.messages import MessageController
from kombu_pool.drivers.memory.moving import MoveController
from kombu_pool.drivers.memory.queues import QueueController
from kombu_pool.drivers.memory.shared import data_store
from kombu_pool.drivers.memory.subscriptions import SubscriptionController
from kombu_pool.drivers.memory.watch import MemoryWatch
from kombu_pool.model import Capabilities
from kombu_pool.storage import DataDriver as Contract

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.shared import Location
    from kombu_pool.model import Project
    from kombu_pool.storage import DeadLetterHooks, Watch

CAPABILITIES = (Capabilities.FIFO, Capabilities.CLAIMS, Capabilities.AOD, Capabilities.HIGH_THROUGHPUT)


class DataDriver(Contract):
    """A message store of this process. It outlives its drivers."""

    capabilities = CAPABILITIES

    def __init__(self, location: Location, clock: Clock, dead_letter_hooks: DeadLetterHooks) -> None:
        self.dead_letter_hooks = dead_letter_hooks
        self._store = store = data_store(location.name)
        self._clock = clock
        self._dead_letters = DeadLetters(store, clock, dead_letter_hooks)
        claims = ClaimController(store, clock, self._dead_letters)
        self.queue_controller = QueueController(store, clock)
        self.message_controller = MessageController(store, clock, claims, self._dead_letters, location)
        self.claim_controller = claims
        self.subscription_controller = self._subscriptions = SubscriptionController(store, clock)
        self.move_controller = MoveController(store, clock)
        self.connect_controllers()

    @property
    def identity(self) -> str:
        return self._store.identity

    def watch(self, queues: Iterable[tuple[Project, str]]) -> Watch:
        return MemoryWatch(self._store, self._clock, queues)

    def health(self) -> dict[str, Any]:
        return {"storage_reachable": True}

    def dead_letter_all(self) -> int:
        return self._dead_letters.dead_letter_all()

    def gc(self) -> int:
        with self._store.lock:
            now = self._clock.time()
            queues = list(self._store.queues.values())
            collected = sum(queue.advance(now) + queue.evict(now) for queue in queues)
            return collected + self._subscriptions.collect_all()

    def close(self) -> None:
        """Do nothing: the store stays for its other drivers."""
