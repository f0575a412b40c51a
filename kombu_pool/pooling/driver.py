"""The pooling data driver: one message store over the pools of a catalog."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from kombu_pool import errors, storage
from kombu_pool.drivers import mask, mask_uri
from kombu_pool.pooling.catalog import Catalog
from kombu_pool.pooling.controllers import ClaimController, MessageController, QueueController, SubscriptionController
from kombu_pool.pooling.watch import PooledWatch
from kombu_pool.storage import UNREADABLE_QUEUE, DeadLetterHooks
from kombu_pool.storage.counters import Counter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kombu_pool.clock import Clock
    from kombu_pool.model import Capabilities, NewMessage, Pool, Project
    from kombu_pool.pooling.pool_handle import PoolHandle
    from kombu_pool.storage import ControlDriver

logger = logging.getLogger(__name__)
T = TypeVar("T")


class DataDriver(storage.DataDriver):
    """One message store; each queue lives in the pool that the catalog assigns it to.

    ``conf`` is an ``oslo_config.cfg.ConfigOpts`` or None, ``cache`` anything with ``get``, ``set`` and ``delete`` or
    None, ``control`` a control driver or a URI; a control store opened from a URI is closed with the pools.
    ``control_driver`` is the attribute that Zaqar has. The hook ``forward`` is always this driver's own.
    """

    def __init__(
        self,
        conf: Any,
        cache: Any,
        control: ControlDriver | str,
        control_driver: ControlDriver | None = None,
        *,
        clock: Clock | None = None,
        dead_letter_hooks: DeadLetterHooks | None = None,
    ) -> None:
        self._conf = conf
        given = dead_letter_hooks or DeadLetterHooks()
        self._publish = given.publish
        self.dead_letter_hooks = DeadLetterHooks(
            forward=self._forward_dead_letter,
            publish=None if given.publish is None else self._publish_dead_letter,
            restore_address=given.restore_address,
        )
        self.catalog = Catalog(conf, cache, control, clock=clock, dead_letter_hooks=self.dead_letter_hooks)
        self.control = self.catalog.control
        self.control_driver = self.control if control_driver is None else control_driver
        self.queue_controller: QueueController = QueueController(self.catalog)
        self.message_controller: MessageController = MessageController(self.catalog)
        self.claim_controller: ClaimController = ClaimController(self.catalog)
        self.subscription_controller: SubscriptionController = SubscriptionController(self.catalog)
        #: The rows whose pools :meth:`dead_letter_all` asks, and when they were read.
        self._known_rows: list[Pool] = []
        self._rows_read_at = 0.0

    @property
    def capabilities(self) -> tuple[Capabilities, ...]:  # type: ignore[override] # pools change at runtime
        """The capabilities that every pool has, and so every queue."""
        return self.catalog.capabilities()

    def watch(self, queues: Iterable[tuple[Project, str]]) -> PooledWatch:
        return PooledWatch(self.catalog, queues)

    def is_alive(self) -> bool:
        """Return whether the catalogue and every pool answer."""
        rows, reachable = self._rows()
        return reachable and all([self._call(row, _is_alive, False) for row in rows])  # noqa: C419 - every pool is checked

    def health(self) -> dict[str, Any]:
        """Return the health of the catalogue and of each pool.

        ``{"catalog_reachable": bool, "storage_reachable": bool, "pools": {name: {"storage_reachable": bool, "since":
        seconds since the epoch or None, "reason": text or None, ...}}}``: when a pool became unreachable, and why. A
        pool whose store does not exist yet has ``"created": False``; it is not created.
        """
        rows, reachable = self._rows()
        pools = {row["name"]: self.pool_health(row) for row in rows}
        return {
            "catalog_reachable": reachable,
            "storage_reachable": all(pool["storage_reachable"] for pool in pools.values()),
            "pools": pools,
        }

    def pool_health(self, row: Pool) -> dict[str, Any]:
        """Return the health of one pool, as :meth:`health` does."""
        if not self.catalog.open_pools.is_created(row):
            reason = self._missed_by(row)
            return {"storage_reachable": reason is None, "created": False, "since": None, "reason": reason}
        health = self._call(row, _check_health, {"storage_reachable": False})
        outage = self.catalog.open_pools.peek(row["name"]).outage
        since, reason = (outage.since, outage.reason) if outage else (None, None)
        return {**health, "since": since, "reason": reason}

    def existing_pool(self, row: Pool) -> PoolHandle:
        """Return a pool with its driver open.

        Raises:
            PoolNotCreated: its store does not exist. It is not created.
            PoolUnavailable: it cannot be opened.
        """
        if not self.catalog.open_pools.is_created(row):
            raise errors.PoolNotCreated(row["name"], f"{mask_uri(row['uri'])}: the store does not exist")
        return self.catalog.open_pools.get(row["name"])

    def dead_letter_all(self) -> int:
        """Move the dead letters of every reachable pool, of a new one after the cache's ttl at the latest."""
        now = self.catalog.now()
        if not self._rows_read_at <= now < self._rows_read_at + self.catalog.ttl or not self._known_rows:
            self._known_rows, self._rows_read_at = self._rows()[0], now
        return sum(self._call(row, _dead_letter_all, 0, can_wait=True) for row in self._known_rows)

    def gc(self) -> int:
        """Collect garbage in every reachable pool."""
        self.catalog.open_pools.close_retired()
        return sum(self._call(row, _gc, 0, can_wait=True) for row in self._rows()[0])

    def send_counters(self) -> None:
        """Add to the counters of queues what this process has counted, now instead of within a second."""
        self.catalog.counters.send()

    def close(self) -> None:
        self.catalog.close()

    def _forward_dead_letter(self, project: Project, queue: str, message: NewMessage) -> bool:
        """Store a dead letter in the pool of its dead-letter queue; return False when there is no such queue."""
        try:
            self.message_controller.post(queue, [message], None, project)
        except errors.QueueDoesNotExist:
            if queue != UNREADABLE_QUEUE:
                return False
            # No client declares this queue.
            self.queue_controller.create(queue, None, project)
            self.message_controller.post(queue, [message], None, project)
        self._count_dead_letter(project, message)
        return True

    def _publish_dead_letter(
        self, project: Project, exchange: str, routing_key: str | None, message: NewMessage
    ) -> bool:
        if self._publish is None or not self._publish(project, exchange, routing_key, message):
            return False
        self._count_dead_letter(project, message)
        return True

    def _count_dead_letter(self, project: Project, message: NewMessage) -> None:
        header = message.get("dead_letter")
        if header is None:
            return
        with suppress(errors.KombuPoolError):
            incarnation = self.catalog.route(header["queue"], project).incarnation
            name = Counter.dead_lettered(header["reason"])
            self.catalog.counters.add(project, header["queue"], incarnation, name, 1)

    def _rows(self) -> tuple[list[Pool], bool]:
        """Return the rows of all pools and True; those of the open pools and False if the catalogue is unreadable."""
        try:
            return self.catalog.rows(), True
        except Exception as error:  # noqa: BLE001 - an unreadable catalogue says nothing about the pools
            logger.warning("The catalogue is unreadable: %s", mask(str(error)))
            return self.catalog.open_pools.open_rows(), False

    def _call(
        self, row: Pool, operation: Callable[[PoolHandle, storage.DataDriver], T], default: T, *, can_wait: bool = False
    ) -> T:
        """Call an operation of one pool; on failure, mark the pool down and return the default.

        One that ``can_wait`` is left out while a pool that is down was asked a moment ago.
        """
        pool = self.catalog.open_pools.peek(row["name"])
        if can_wait and pool.is_resting():
            return default
        try:
            return operation(pool, self.catalog.get_driver(row["name"]))
        except errors.PoolUnavailable as error:
            logger.debug("%s", error)
        except Exception as error:  # noqa: BLE001 - one pool must not stop the others
            logger.debug("Pool %r failed: %s", row["name"], mask(str(error)))
            pool.mark_down(str(error) or type(error).__name__)
        return default

    def _missed_by(self, row: Pool) -> str | None:
        """Return the reason why a store that does not exist is an outage: it has queues; None if it has none."""
        try:
            self.control.pools_controller.require_unused(row["name"])
        except errors.PoolInUse as error:
            return f"{mask_uri(row['uri'])}: the store does not exist, and {error.queues} queues are assigned to it"
        return None


def _gc(pool: PoolHandle, driver: storage.DataDriver) -> int:
    with pool:
        return driver.gc()


def _dead_letter_all(pool: PoolHandle, driver: storage.DataDriver) -> int:
    with pool:
        return driver.dead_letter_all()


def _is_alive(pool: PoolHandle, driver: storage.DataDriver) -> bool:
    return pool.record_health(driver.is_alive(), _no_answer(pool))


def _check_health(pool: PoolHandle, driver: storage.DataDriver) -> dict[str, Any]:
    health = driver.health()
    reason = health.get("reason") or health.get("error")
    pool.record_health(bool(health["storage_reachable"]), str(reason or _no_answer(pool)))
    return health


def _no_answer(pool: PoolHandle) -> str:
    return f"{pool.settings.uri if pool.settings else pool.name}: the store does not answer"
