"""Pooling: a data driver over the pools that a catalog names."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from kombu_pool import errors, storage
from kombu_pool.drivers import mask
from kombu_pool.pooling.catalog import Catalog
from kombu_pool.pooling.controllers import ClaimController, MessageController, QueueController, SubscriptionController
from kombu_pool.pooling.watch import PooledWatch
from kombu_pool.storage import UNREADABLE_QUEUE, DeadLetterHooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kombu_pool.clock import Clock
    from kombu_pool.model import Capabilities, NewMessage, Pool, Project
    from kombu_pool.pooling.pool_handle import Member
    from kombu_pool.storage import ControlDriver

logger = logging.getLogger(__name__)
T = TypeVar("T")


class DataDriver(storage.DataDriver):
    """Behaves as one message store, and keeps each queue in the pool that the catalog assigns it to.

    ``conf`` is an ``oslo_config.cfg.ConfigOpts`` or None, ``cache`` anything with ``get``, ``set`` and ``delete`` or
    None, ``control`` a control driver or the URI of one, which is then closed along with the pools. ``control_driver``
    is kept as the attribute that Zaqar has. Of ``dead_letter_hooks``, ``forward`` is always this driver's own.
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
        given = dead_letter_hooks or DeadLetterHooks()
        self.dead_letter_hooks = DeadLetterHooks(
            forward=self._forward_dead_letter, publish=given.publish, restore_address=given.restore_address
        )
        self.catalog = Catalog(conf, cache, control, clock=clock, dead_letter_hooks=self.dead_letter_hooks)
        self.control = self.catalog.control
        self.control_driver = self.control if control_driver is None else control_driver
        self.queue_controller: QueueController = QueueController(self.catalog)
        self.message_controller: MessageController = MessageController(self.catalog)
        self.claim_controller: ClaimController = ClaimController(self.catalog)
        self.subscription_controller: SubscriptionController = SubscriptionController(self.catalog)

    @property
    def capabilities(self) -> tuple[Capabilities, ...]:  # type: ignore[override] # pools come and go, so it is asked for
        """What every pool can do, so that any queue can count on it."""
        return self.catalog.capabilities()

    def watch(self, queues: Iterable[tuple[Project, str]]) -> PooledWatch:
        return PooledWatch(self.catalog, queues)

    def is_alive(self) -> bool:
        """Tell whether the catalogue and every pool answer."""
        rows, reachable = self._rows()
        return reachable and all([self._ask(row, _lives, False) for row in rows])  # noqa: C419 - each is to be asked

    def health(self) -> dict[str, Any]:
        """Say how the catalogue and each pool do.

        ``{"catalog_reachable": bool, "storage_reachable": bool, "pools": {name: {"storage_reachable": bool, "since":
        seconds since the epoch or None, "reason": text or None, ...}}}``: since when a pool cannot be reached, and why.
        """
        rows, reachable = self._rows()
        pools = {row["name"]: self._health(row) for row in rows}
        return {
            "catalog_reachable": reachable,
            "storage_reachable": all(pool["storage_reachable"] for pool in pools.values()),
            "pools": pools,
        }

    def dead_letter_all(self) -> int:
        """Bury in every pool that can be reached."""
        return sum(self._ask(row, _bury, 0) for row in self._rows()[0])

    def gc(self) -> int:
        """Collect in every pool that can be reached."""
        self.catalog.members.sweep()
        return sum(self._ask(row, _collect, 0) for row in self._rows()[0])

    def close(self) -> None:
        self.catalog.close()

    def _forward_dead_letter(self, project: Project, queue: str, message: NewMessage) -> bool:
        """Store a dead letter in the pool of its dead-letter queue; return False when there is no such queue."""
        member = self.catalog.pool(queue, project)
        if member is None and queue == UNREADABLE_QUEUE:
            # No caller declares it, and a queue outside the catalog would never be found.
            self.queue_controller.create(queue, None, project)
            member = self.catalog.pool(queue, project)
        if member is None:
            return False
        with member:
            member.messages.post(queue, [message], None, project)
        return True

    def _rows(self) -> tuple[list[Pool], bool]:
        """Return the rows of all pools and True; or of the pools that are open and False."""
        try:
            return self.catalog.rows(), True
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the pools may do well
            logger.warning("The catalogue cannot be read: %s", mask(str(error)))
            return self.catalog.members.known_rows(), False

    def _ask(self, row: Pool, question: Callable[[Member, storage.DataDriver], T], otherwise: T) -> T:
        """Ask one pool; one that cannot answer is remembered to be down, and never stops the others."""
        member = self.catalog.members.peek(row["name"])
        try:
            return question(member, self.catalog.get_driver(row["name"]))
        except errors.PoolUnavailable as error:
            logger.warning("%s", error)
        except Exception as error:  # noqa: BLE001 - as above
            logger.warning("Pool %s failed: %s", row["name"], mask(str(error)))
            member.failed(str(error) or type(error).__name__)
        return otherwise

    def _health(self, row: Pool) -> dict[str, Any]:
        said = self._ask(row, _examine, {"storage_reachable": False})
        outage = self.catalog.members.peek(row["name"]).outage
        since, reason = (outage.since, outage.reason) if outage else (None, None)
        return {**said, "since": since, "reason": reason}


def _collect(member: Member, driver: storage.DataDriver) -> int:
    with member:
        return driver.gc()


def _bury(member: Member, driver: storage.DataDriver) -> int:
    with member:
        return driver.dead_letter_all()


def _lives(member: Member, driver: storage.DataDriver) -> bool:
    return member.noted(driver.is_alive(), "the store does not answer")


def _examine(member: Member, driver: storage.DataDriver) -> dict[str, Any]:
    said = driver.health()
    member.noted(bool(said["storage_reachable"]), str(said.get("reason") or "the store does not answer"))
    return said
