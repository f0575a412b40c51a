"""One pool as this process uses it: its open driver, and whether it can be reached."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple, final

from kombu_pool import errors
from kombu_pool.drivers import mask

if TYPE_CHECKING:
    from types import TracebackType

    from kombu_pool.clock import Clock
    from kombu_pool.storage import (
        ClaimController,
        DataDriver,
        MessageController,
        QueueController,
        SubscriptionController,
    )


class Outage(NamedTuple):
    """Since when a pool cannot be reached, and why."""

    since: float
    reason: str


class Settings(NamedTuple):
    """What a driver is built from."""

    uri: str
    options: dict[str, Any]


@final
class Member:
    """A pool, and as a context manager the one place where calls to its store are made.

    Inside ``with member:`` a store that cannot be reached becomes :class:`~kombu_pool.errors.PoolUnavailable` of this
    pool, and is remembered until the store answers again.
    """

    queues: QueueController
    messages: MessageController
    claims: ClaimController
    subscriptions: SubscriptionController

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.driver: DataDriver | None = None
        self.settings: Settings | None = None
        self.read_at = float("-inf")
        self.outage: Outage | None = None
        self._clock = clock

    def adopt(self, driver: DataDriver, settings: Settings) -> DataDriver | None:
        """Use this driver from now on; return the one that was used before, None if none was."""
        replaced, self.driver = self.driver, driver
        self.queues = driver.queue_controller
        self.messages = driver.message_controller
        self.claims = driver.claim_controller
        self.subscriptions = driver.subscription_controller
        self.settings = settings
        return replaced

    def is_fresh(self, now: float, ttl: float) -> bool:
        """Tell whether its row was read less than ``ttl`` seconds ago."""
        return self.driver is not None and self.read_at <= now < self.read_at + ttl

    def failed(self, reason: str) -> Outage:
        """Remember that it cannot be reached, since now or since it was first seen."""
        self.outage = Outage(self.outage.since if self.outage else self._clock.time(), mask(reason))
        return self.outage

    def noted(self, answers: bool, reason: str) -> bool:
        """Remember what its store said of itself, and return whether it answers."""
        if answers:
            self.outage = None
        else:
            self.failed(reason)
        return answers

    def __enter__(self) -> Member:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            if self.outage is not None:
                self.outage = None
        elif isinstance(error, errors.ConnectionError):
            # One that names a pool came through another pool's dispatch, and says nothing of this one.
            if not isinstance(error, errors.PoolUnavailable):
                raise errors.PoolUnavailable(self.name, self.failed(str(error)).reason) from error
        elif isinstance(error, (errors.DoesNotExist, errors.NotPermitted, errors.QueueIsEmpty)):
            self.outage = None
