"""The driver of a message store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.memory.claiming import Claimer
from kombu_pool.drivers.memory.claims import ClaimController
from kombu_pool.drivers.memory.dead_letters import DeadLetters
from kombu_pool.drivers.memory.messages import MessageController
from kombu_pool.drivers.memory.queues import QueueController
from kombu_pool.drivers.memory.subscriptions import SubscriptionController
from kombu_pool.drivers.memory.watch import MemoryWatch
from kombu_pool.storage import DataDriver as Contract

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.store import DataStore
    from kombu_pool.model import Capabilities, Project
    from kombu_pool.storage import DeadLetterHooks, Watch


class DataDriver(Contract):
    """A message store of this process. It outlives its drivers."""

    def __init__(
        self,
        store: DataStore,
        clock: Clock,
        max_message_size: int,
        enable_checksum: bool,
        capabilities: tuple[Capabilities, ...],
        dead_letter_hooks: DeadLetterHooks,
    ) -> None:
        self.dead_letter_hooks = dead_letter_hooks
        self.capabilities = capabilities
        self._store = store
        self._clock = clock
        self._dead_letters = DeadLetters(store, clock, dead_letter_hooks)
        claimer = Claimer(store, clock, self._dead_letters)
        self.queue_controller = QueueController(store, clock)
        self.message_controller = MessageController(
            store, clock, claimer, self._dead_letters, max_message_size, enable_checksum
        )
        self.claim_controller = ClaimController(store, clock, claimer)
        self.subscription_controller = SubscriptionController(store, clock)
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
            collected = sum(queue.advance(now) + queue.idempotency.evict(now) for queue in queues)
            return collected + self.subscription_controller.collect_all()

    def close(self) -> None:
        """Do nothing: the store stays for its other drivers."""
