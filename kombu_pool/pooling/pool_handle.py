"""One pool as this process uses it: its open driver, and its outage."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool import errors
from kombu_pool.drivers import mask, mask_uri, open_data, show
from kombu_pool.pooling import outages
from kombu_pool.pooling.outages import Outage

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from kombu_pool.clock import Clock
    from kombu_pool.storage import (
        ClaimController,
        DataDriver,
        MessageController,
        QueueController,
        SubscriptionController,
    )

#: The store of the queues without an assignment, which is always empty.
_EMPTY_STORE = "memory://kombu_pool.empty"
#: Age in seconds up to which an outage is recent: no pool is asked again whether it answers.
_RECENT = 1.0
#: Pause after the first failed call, and the longest one, until a call that can wait is made again, in seconds.
_FIRST_PAUSE, _LAST_PAUSE = 0.1, 1.0
#: Errors that are the answer of a store.
_ANSWERS = (errors.DoesNotExist, errors.NotPermitted, errors.QueueIsEmpty, errors.QueueIsFull)


class Settings(NamedTuple):
    """What a driver is built from."""

    uri: str
    options: dict[str, Any]

    def __repr__(self) -> str:
        return f"Settings(uri={mask_uri(self.uri)!r}, options={show(self.options)})"


class PoolHandle:
    """A pool, and as a context manager the one place where calls to its store are made.

    Inside ``with pool:`` the error of an unreachable store becomes :class:`~kombu_pool.errors.PoolUnavailable` of this
    pool, and the outage is recorded until the store answers again.
    """

    queues: QueueController
    messages: MessageController
    claims: ClaimController
    subscriptions: SubscriptionController

    def __init__(self, name: str, clock: Clock, control_uri: str = "") -> None:
        self.name = name
        self.lock = threading.Lock()
        self.driver: DataDriver | None = None
        self.settings: Settings | None = None
        self.read_at = float("-inf")
        self._key = control_uri, name
        self.outage: Outage | None = outages.current(self._key)
        self._noticed_at = float("-inf")
        self._retry_at = float("-inf")
        self._pause = _FIRST_PAUSE
        self._is_retired = False
        self._clock = clock

    def use_driver(self, driver: DataDriver, settings: Settings) -> DataDriver | None:
        """Use this driver from now on; return the replaced one, None if there was none."""
        replaced, self.driver = self.driver, driver
        self.queues = driver.queue_controller
        self.messages = driver.message_controller
        self.claims = driver.claim_controller
        self.subscriptions = driver.subscription_controller
        self.settings = settings
        return replaced

    def is_fresh(self, now: float, ttl: float) -> bool:
        """Return whether the pool's row was read less than ``ttl`` seconds ago."""
        return self.driver is not None and self.read_at <= now < self.read_at + ttl

    def mark_down(self, reason: str) -> Outage:
        """Record that the pool is unreachable; a recorded outage keeps its start."""
        now = self._clock.time()
        outage = Outage(now, one_line(reason))
        if not self._is_retired:
            self.outage = outage = outages.begin(self._key, outage)
            self._noticed_at = now
            self._retry_at = now + self._pause * random.uniform(0.75, 1.25)  # noqa: S311 - nothing secret
            self._pause = min(2 * self._pause, _LAST_PAUSE)
        return outage

    def mark_up(self) -> None:
        """Record that the pool answered."""
        self.outage = None
        self._pause = _FIRST_PAUSE
        outages.end(self._key, self._clock.time())

    def retire(self) -> None:
        """Record no outage from now on: calls fail because the driver is closed, not because of its store."""
        self._is_retired = True

    def forget_outage(self) -> None:
        """Forget the outage: the pool was deleted."""
        self.outage = None
        outages.forget(self._key)

    def recent_outage(self) -> Outage | None:
        """Return the outage if a call failed because of it less than a second ago."""
        age = self._clock.time() - self._noticed_at
        return self.outage if 0 <= age < _RECENT else None

    def is_resting(self) -> bool:
        """Return whether a call that can wait is left out: the last one failed a moment ago."""
        return self.outage is not None and self._noticed_at <= self._clock.time() < self._retry_at

    def record_health(self, is_reachable: bool, reason: str) -> bool:
        """Record the result of a health check, and return ``is_reachable``."""
        if not is_reachable:
            self.mark_down(reason)
        elif self.outage is not None:
            self.mark_up()
        return is_reachable

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.record_error(error)
        elif self.outage is not None:
            self.mark_up()

    def record_error(self, error: BaseException) -> None:
        """Record the outage or the answer that an error of the driver means.

        Raises:
            PoolUnavailable: the error is that of an unreachable store.
        """
        if isinstance(error, errors.ConnectionError):
            if isinstance(error, errors.PartUnavailable):
                # The rest of the pool may answer.
                reason = one_line(error.reason)
                raise errors.PoolPartUnavailable(pool=self.name, part=error.part, reason=reason) from error
            # A PoolUnavailable was raised in another pool's context, and says nothing about this pool.
            if not isinstance(error, errors.PoolUnavailable):
                raise errors.PoolUnavailable(self.name, self.mark_down(str(error)).reason) from error
        elif self.outage is not None and isinstance(error, _ANSWERS):
            self.mark_up()


def one_line(reason: str) -> str:
    """Return a reason in one line, with every password masked, and without a full stop."""
    return " ".join(mask(reason).split()).removesuffix(".")


def empty_pool(clock: Clock) -> PoolHandle:
    """Return the pool of the queues without an assignment: it answers as an empty store does."""
    pool = PoolHandle("", clock)
    pool.use_driver(open_data(_EMPTY_STORE, clock=clock), Settings(_EMPTY_STORE, {}))
    return pool
