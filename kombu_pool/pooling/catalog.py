"""The catalog: which pool serves a queue, and the way to its driver."""

from __future__ import annotations

import logging
import zlib
from typing import TYPE_CHECKING, Any

from kombu_pool import conf as configuration
from kombu_pool import errors
from kombu_pool.clock import SYSTEM_CLOCK
from kombu_pool.drivers import capabilities_of, open_control
from kombu_pool.pooling.cache import Known, SharedNames
from kombu_pool.pooling.open_pools import VIRTUAL, Members, close_quietly
from kombu_pool.pooling.selection import weighted
from kombu_pool.storage import DeadLetterHooks

if TYPE_CHECKING:
    from kombu_pool.clock import Clock
    from kombu_pool.model import Capabilities, Pool, Project
    from kombu_pool.pooling.pool_handle import Member
    from kombu_pool.storage import (
        ClaimController,
        ControlDriver,
        DataDriver,
        MessageController,
        QueueController,
        SubscriptionController,
    )

logger = logging.getLogger(__name__)

DEFAULT_POOL = "default"
DEFAULT_WEIGHT = 100
_ATTEMPTS = 10
_MOST_ROUTES = 50_000


class Catalog:
    """Assigns queues to pools, and finds the pool of a queue.

    ``control`` is a control driver, or the URI of one, which is then opened here and closed with :meth:`close`.
    """

    def __init__(
        self,
        conf: Any,
        cache: Any,
        control: ControlDriver | str,
        *,
        clock: Clock | None = None,
        dead_letter_hooks: DeadLetterHooks | None = None,
    ) -> None:
        options = configuration.options(
            configuration.CATALOG, {}, where="the catalog", conf=conf, group=configuration.CATALOG_GROUP
        )
        self._clock = clock or SYSTEM_CLOCK
        self._owns_control = isinstance(control, str)
        self.control: ControlDriver = (
            open_control(control, conf=conf, cache=cache, clock=clock) if isinstance(control, str) else control
        )
        self._ttl: float = options["cache_ttl"]
        self._virtual: bool = options["enable_virtual_pool"]
        self._names = SharedNames(cache, self._ttl)
        self.members = Members(
            conf,
            cache,
            self.control,
            clock=self._clock,
            ttl=self._ttl,
            dead_letter_hooks=dead_letter_hooks or DeadLetterHooks(),
        )
        # What every published message looks up: (project, queue) -> trusted from, trusted until, pool.
        self._routes: dict[tuple[Project, str], tuple[float, float, Member]] = {}
        self._time = self._clock.time
        #: Another object after every change to the catalogue that this process made.
        self.era = object()

    @property
    def ttl(self) -> float:
        """The seconds for which what was read of the catalogue is trusted."""
        return self._ttl

    # Assigning.

    def register(self, queue: str, project: Project = None, flavor: str | None = None) -> None:
        """Assign the queue to a pool of the flavor, or without one to a pool without; an assigned queue stays put.

        Raises:
            FlavorDoesNotExist: the project has no such flavor.
            NoPoolFound: no pool of the flavor takes new queues; nothing was written.
        """
        self._register(queue, project, flavor)

    def settle(self, queue: str, project: Project = None, flavor: str | None = None) -> Member:
        """Register the queue and return its pool."""
        return self.members.get(self._register(queue, project, flavor))

    def deregister(self, queue: str, project: Project = None) -> None:
        """Forget which pool the queue is assigned to. Idempotent."""
        self.control.catalogue_controller.delete(project, queue)
        self._forget(queue, project)

    # Finding.

    def pool(self, queue: str, project: Project = None) -> Member | None:
        """Return the queue's pool with its driver open; None when the queue is assigned to none.

        Raises:
            PoolDoesNotExist: the pool is gone, but not the assignment.
            PoolUnavailable: the pool's store cannot be opened.
        """
        found = self._routes.get((project, queue))
        if found is not None and found[0] <= self._time() < found[1]:
            return found[2]
        return self._find(queue, project)

    def pool_now(self, queue: str, project: Project = None) -> Member | None:
        """Return the queue's pool as :meth:`pool` does, but ask the control store, whatever is remembered."""
        self._forget(queue, project)
        return self._find(queue, project)

    def pool_of(self, queue: str, project: Project = None) -> str | None:
        """Return the name of the queue's pool; None when the queue is assigned to none."""
        found = self._routes.get((project, queue))
        if found is not None and found[0] <= self._time() < found[1]:
            return found[2].name
        known = self._known(queue, project)
        return known.pool if known else None

    def lookup(self, queue: str, project: Project = None) -> DataDriver | None:
        """Return the driver of the queue's pool; raises as :meth:`pool` does."""
        member = self.pool(queue, project)
        return None if member is None else member.driver

    def get_driver(self, pool_id: str, pool_conf: Pool | None = None) -> DataDriver:
        """Return a pool's driver, with ``pool_conf`` as its row if that is given; raises as :meth:`pool` does."""
        driver = self.members.get(pool_id, pool_conf).driver
        assert driver is not None  # noqa: S101 - get() opens it or raises
        return driver

    def get_default_pool(self, use_listing: bool = True) -> DataDriver | None:
        """Return the driver of a pool for a queue that asks for none, drawn by weight; None when there is none.

        Without ``use_listing`` only the control store serving as a pool will do.
        """
        candidates = self._candidates(None)
        if not use_listing:
            candidates = [pool for pool in candidates if (pool.get("options") or {}).get(VIRTUAL)]
        drawn = weighted(candidates)
        return None if drawn is None else self.get_driver(drawn["name"])

    def get_queue_controller(self, queue: str, project: Project = None) -> QueueController | None:
        """Return the queue controller of the queue's pool; None when the queue is assigned to none."""
        member = self.pool(queue, project)
        return None if member is None else member.queues

    def get_message_controller(self, queue: str, project: Project = None) -> MessageController | None:
        """Return the message controller of the queue's pool; None when the queue is assigned to none."""
        member = self.pool(queue, project)
        return None if member is None else member.messages

    def get_claim_controller(self, queue: str, project: Project = None) -> ClaimController | None:
        """Return the claim controller of the queue's pool; None when the queue is assigned to none."""
        member = self.pool(queue, project)
        return None if member is None else member.claims

    def get_subscription_controller(self, queue: str, project: Project = None) -> SubscriptionController | None:
        """Return the subscription controller of the queue's pool; None when the queue is assigned to none."""
        member = self.pool(queue, project)
        return None if member is None else member.subscriptions

    # All pools.

    def capabilities(self) -> tuple[Capabilities, ...]:
        """Return what every pool can do, so that any queue can count on it."""
        uris = [self.control.uri if (pool.get("options") or {}).get(VIRTUAL) else pool["uri"] for pool in self.rows()]
        if not uris:
            return capabilities_of(self.control.uri) if self._virtual else ()
        return tuple(sorted(set.intersection(*(set(capabilities_of(uri)) for uri in uris))))

    def rows(self) -> list[Pool]:
        """Return the rows of all pools."""
        return self.members.rows()

    def close(self) -> None:
        """Close what was opened here. Idempotent."""
        self._routes.clear()
        self.members.close()
        if self._owns_control:
            close_quietly(self.control)

    # How a queue gets its pool.

    def _register(self, queue: str, project: Project, flavor: str | None) -> str:
        now = self._time()
        try:
            # Never from what is remembered: a queue deleted elsewhere would be declared without being assigned.
            name = self.control.catalogue_controller.get(project, queue)["pool"]
        except errors.QueueNotMapped:
            name = self._assign(queue, project, flavor)
            self._forget(queue, project)
        else:
            if not self.members.is_known(name):
                name = self._reassign(queue, project, flavor)
                self._forget(queue, project)
        self._names.set(project, queue, Known(name, now))
        return name

    def _assign(self, queue: str, project: Project, flavor: str | None) -> str:
        for _ in range(_ATTEMPTS):
            drawn = weighted(self._candidates(flavor, project))
            if drawn is None:
                break
            try:
                return self.control.catalogue_controller.insert_if_absent(project, queue, drawn["name"])
            except errors.PoolDoesNotExist:
                continue  # it was deleted since it was drawn
        raise errors.NoPoolFound

    def _reassign(self, queue: str, project: Project, flavor: str | None) -> str:
        """Assign a queue whose pool is gone. Two processes that do so at once draw the same pool."""
        share = zlib.crc32(repr((project, queue)).encode("utf-8", "surrogatepass"))
        drawn = weighted(self._candidates(flavor, project), lambda low, high: low + share % (high - low + 1))
        if drawn is None:
            raise errors.NoPoolFound
        self.control.catalogue_controller.insert(project, queue, drawn["name"])
        return drawn["name"]

    def _candidates(self, flavor: str | None, project: Project = None) -> list[Pool]:
        pools = self.control.pools_controller
        if flavor:
            wanted = self.control.flavors_controller.get(flavor, project=project)
            return list(pools.get_pools_by_flavor(wanted, detailed=True))
        found = list(pools.get_pools_by_flavor(detailed=True))
        if not found and self._virtual:
            if not list(next(pools.list(limit=1))):
                self._add_virtual_pool()
            # Another process may have added one since the first look, whoever did it now.
            found = list(pools.get_pools_by_flavor(detailed=True))
        return found

    def _add_virtual_pool(self) -> None:
        try:
            self.control.pools_controller.create(
                DEFAULT_POOL, DEFAULT_WEIGHT, self.control.uri, options={VIRTUAL: True}
            )
        except errors.PoolAlreadyExists:
            logger.debug("A pool was added at the same moment, and is the first one now")

    # How it is remembered.

    def _find(self, queue: str, project: Project) -> Member | None:
        era = self.era
        known = self._known(queue, project)
        if known is None:
            self._routes.pop((project, queue), None)
            return None
        member = self.members.get(known.pool)
        if len(self._routes) >= _MOST_ROUTES:
            self._routes.clear()
        start = min(known.since, member.read_at)
        self._routes[project, queue] = (start, start + self._ttl, member)
        if self.era is not era:  # as in _known()
            self._routes.pop((project, queue), None)
        return member

    def _known(self, queue: str, project: Project) -> Known | None:
        era, now = self.era, self._time()
        known = self._names.get(project, queue, now)
        if known is not None:
            return known
        try:
            known = Known(self.control.catalogue_controller.get(project, queue)["pool"], now)
        except errors.QueueNotMapped:
            return None
        except errors.ConnectionError:
            route = self._routes.get((project, queue))
            if route is None:
                raise
            # The control store is away; the pool need not be.
            return Known(route[2].name, now)
        self._names.set(project, queue, known)
        if self.era is not era:
            # Looked after storing: a change made meanwhile either is seen here, or forgets the name itself.
            self._names.delete(project, queue)
        return known

    def _forget(self, queue: str, project: Project) -> None:
        self.era = object()
        self._routes.pop((project, queue), None)
        self._names.delete(project, queue)
