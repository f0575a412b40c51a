"""The message store in a SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.sqlite.claims import ClaimController
from kombu_pool.drivers.sqlite.collector import Collector
from kombu_pool.drivers.sqlite.database import acquire
from kombu_pool.drivers.sqlite.dead_letters import DeadLetters
from kombu_pool.drivers.sqlite.location import size_of
from kombu_pool.drivers.sqlite.messages import MessageController
from kombu_pool.drivers.sqlite.moving import MoveController
from kombu_pool.drivers.sqlite.queues import QueueController
from kombu_pool.drivers.sqlite.subscriptions import SubscriptionController
from kombu_pool.drivers.sqlite.times import StoreClock
from kombu_pool.drivers.sqlite.watch import Watch
from kombu_pool.errors import KombuPoolError
from kombu_pool.model import Capabilities
from kombu_pool.storage import DataDriver as Contract

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.sqlite.location import Location
    from kombu_pool.model import Project
    from kombu_pool.storage import DeadLetterHooks

CAPABILITIES = tuple(Capabilities)


class DataDriver(Contract):
    """A message store in one file, shared by all processes of a machine."""

    capabilities = CAPABILITIES

    def __init__(self, location: Location, clock: Clock, dead_letter_hooks: DeadLetterHooks) -> None:
        self.dead_letter_hooks = dead_letter_hooks
        self._clock = times = StoreClock(clock)
        self._database = database = acquire(location, times)
        self.subscription_controller = SubscriptionController(database, times)
        self._collector = Collector(database, times, self.subscription_controller)
        self._closed = False
        self._dead_letters = dead_letters = DeadLetters(database, times, dead_letter_hooks)
        claims = ClaimController(database, times, dead_letters)
        self.queue_controller = QueueController(database, times, self._collector)
        self.message_controller = MessageController(database, times, claims, dead_letters)
        self.claim_controller = claims
        self.move_controller = MoveController(database, times)
        self.connect_controllers()

    @property
    def identity(self) -> str:
        return self._database.identity

    def watch(self, queues: Iterable[tuple[Project, str]]) -> Watch:
        return Watch(self._database, self._clock, queues)

    def health(self) -> dict[str, Any]:
        path = self._database.path
        health: dict[str, Any] = {
            "storage_reachable": False,
            "path": path,
            "clock": "boot" if self._clock.boot else "wall",
        }
        try:
            if self._closed:
                return {**health, "error": "closed"}
            health["queues"] = self._database.row("SELECT count(*) FROM queue WHERE name IS NOT NULL")[0]
            health["claims"] = self._database.row("SELECT count(*) FROM claim")[0]
            health["storage_reachable"] = True
        except (KombuPoolError, OSError) as error:
            health["error"] = str(error)
        return {**health, "bytes": size_of(path), "wal_bytes": size_of(f"{path}-wal")}

    def dead_letter_all(self) -> int:
        return self._dead_letters.dead_letter_all()

    def gc(self) -> int:
        return self._collector.collect()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._database.close()
