"""The message store's driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.memory.claims import ClaimController
from kombu_pool.drivers.memory.dead_letters import DeadLetters
from kombu_pool.drivers.memory.lending import Lender
from kombu_pool.drivers.memory.messages import MessageController
from kombu_pool.drivers.memory.queues import StoredQueues
from kombu_pool.drivers.memory.subscriptions import SubscriptionController, collect
from kombu_pool.drivers.memory.watch import MemoryWatch
from kombu_pool.storage import DataDriver as Contract

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.store import DataStore
    from kombu_pool.model import Capabilities, Project
    from kombu_pool.storage import DeadLetterHooks, Watch


class DataDriver(Contract):
    """One store of this process. Closing a driver leaves the store as it is, for the others that use it."""

    def __init__(
        self,
        store: DataStore,
        clock: Clock,
        max_message_size: int,
        capabilities: tuple[Capabilities, ...],
        dead_letter_hooks: DeadLetterHooks,
    ) -> None:
        self.dead_letter_hooks = dead_letter_hooks
        self.capabilities = capabilities
        self._store = store
        self._clock = clock
        self._dead_letters = DeadLetters(store, clock, dead_letter_hooks)
        lender = Lender(store, clock, self._dead_letters)
        self.queue_controller = StoredQueues(store, clock)
        self.message_controller = messages = MessageController(
            store, clock, lender, self._dead_letters, max_message_size
        )
        self.claim_controller = ClaimController(store, clock, lender, messages)
        self.subscription_controller = SubscriptionController(store, clock)

    def watch(self, queues: Iterable[tuple[Project, str]]) -> Watch:
        return MemoryWatch(self._store, self._clock, queues)

    def is_alive(self) -> bool:
        return True

    def health(self) -> dict[str, Any]:
        return {"storage_reachable": True}

    def dead_letter_all(self) -> int:
        return self._dead_letters.bury_all()

    def gc(self) -> int:
        with self._store.lock:
            now = self._clock.time()
            queues = list(self._store.queues.values())
            return sum(
                queue.settle(now) + queue.tickets.evict(now) + collect(queue.subscriptions, now) for queue in queues
            )

    def close(self) -> None:
        """Leave the store as it is."""
