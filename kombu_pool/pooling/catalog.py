"""The catalog: assigns queues to pools, and opens the pool of a queue."""

from __future__ import annotations

import logging
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kombu_pool import conf as configuration
from kombu_pool import errors
from kombu_pool.clock import SYSTEM_CLOCK
from kombu_pool.drivers import capabilities_of, open_control
from kombu_pool.pooling.cache import AssignmentCache, CachedAssignment
from kombu_pool.pooling.open_pools import VIRTUAL, OpenPools, close_quietly
from kombu_pool.pooling.pool_handle import empty_pool
from kombu_pool.pooling.selection import choose_weighted
from kombu_pool.storage import DeadLetterHooks

if TYPE_CHECKING:
    from kombu_pool.clock import Clock
    from kombu_pool.model import Capabilities, Pool, Project
    from kombu_pool.pooling.pool_handle import PoolHandle
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
#: Attempts to assign a queue, each to another pool when the chosen one was deleted meanwhile.
_MAX_ATTEMPTS = 10
#: Most cached routes; the cache is emptied when it is full.
_MAX_ROUTES = 50_000


class Catalog:
    """Assigns queues to pools, and finds the pool of a queue.

    ``control`` is a control driver or a URI; a control store opened from a URI is closed with :meth:`close`.
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
        self._enable_virtual_pool: bool = options["enable_virtual_pool"]
        self._assignments = AssignmentCache(cache, self._ttl)
        self.open_pools = OpenPools(
            conf,
            cache,
            self.control,
            clock=self._clock,
            ttl=self._ttl,
            dead_letter_hooks=dead_letter_hooks or DeadLetterHooks(),
        )
        #: The pool of the queues without an assignment, which is always empty.
        self.unassigned = empty_pool(self._clock)
        # The route of every published message: (project, queue) -> valid from, valid until, pool.
        self._routes: dict[tuple[Project, str], tuple[float, float, PoolHandle]] = {}
        self._time = self._clock.time
        #: Version of the catalogue as this process knows it: a new object after each change that the process made.
        self.version = object()

    @property
    def ttl(self) -> float:
        """How long what was read from the catalogue may be used, in seconds."""
        return self._ttl

    # Assigning.

    def register(self, queue: str, project: Project = None, flavor: str | None = None) -> None:
        """Assign the queue to a pool of the flavor; without a flavor, to a pool without one. An assignment stays.

        Raises:
            FlavorDoesNotExist: the project has no such flavor.
            NoPoolFound: no pool of the flavor takes new queues; nothing is written.
        """
        self._register(queue, project, flavor)

    def register_and_open(self, queue: str, project: Project = None, flavor: str | None = None) -> PoolHandle:
        """Register the queue as :meth:`register` does, and return its pool with its driver open."""
        return self.open_pools.get(self._register(queue, project, flavor))

    def deregister(self, queue: str, project: Project = None) -> None:
        """Delete the queue's assignment. Idempotent."""
        self.control.catalogue_controller.delete(project, queue)
        self._invalidate(queue, project)

    # Finding.

    def pool(self, queue: str, project: Project = None) -> PoolHandle:
        """Return the queue's pool with its driver open; :attr:`unassigned` when the queue has no assignment.

        Raises:
            PoolDoesNotExist: the pool was deleted, but not the assignment.
            PoolUnavailable: the pool's store cannot be opened.
        """
        route = self._routes.get((project, queue))
        if route is not None and route[0] <= self._time() < route[1]:
            return route[2]
        return self._open_pool(queue, project)

    def refresh(self, queue: str, project: Project = None) -> PoolHandle:
        """Return the queue's pool as :meth:`pool` does, but read from the control store instead of a cache."""
        self._invalidate(queue, project)
        return self._open_pool(queue, project)

    def pool_of(self, queue: str, project: Project = None) -> str | None:
        """Return the name of the queue's pool; None when the queue has no assignment."""
        route = self._routes.get((project, queue))
        if route is not None and route[0] <= self._time() < route[1]:
            return route[2].name
        assignment = self._assignment(queue, project)
        return assignment.pool if assignment else None

    def lookup(self, queue: str, project: Project = None) -> DataDriver | None:
        """Return the driver of the queue's pool, None when the queue has no assignment; raises as :meth:`pool` does."""
        pool = self.pool(queue, project)
        return None if pool is self.unassigned else pool.driver

    def get_driver(self, pool_id: str, pool_conf: Pool | None = None) -> DataDriver:
        """Return a pool's driver; ``pool_conf`` replaces the pool's row. Raises as :meth:`pool` does."""
        driver = self.open_pools.get(pool_id, pool_conf).driver
        assert driver is not None  # noqa: S101 - get() opens it or raises
        return driver

    def get_default_pool(self, use_listing: bool = True) -> DataDriver | None:
        """Return the driver of a pool without a flavor, chosen by weight; None when there is none.

        Without ``use_listing``, only the virtual pool, which is the control store itself, is eligible.
        """
        candidates = self._candidates(None)
        if not use_listing:
            candidates = [row for row in candidates if _is_virtual(row)]
        chosen = choose_weighted(candidates)
        return None if chosen is None else self.get_driver(chosen["name"])

    def get_queue_controller(self, queue: str, project: Project = None) -> QueueController | None:
        """Return the queue controller of the queue's pool; None when the queue has no assignment."""
        driver = self.lookup(queue, project)
        return None if driver is None else driver.queue_controller

    def get_message_controller(self, queue: str, project: Project = None) -> MessageController | None:
        """Return the message controller of the queue's pool; None when the queue has no assignment."""
        driver = self.lookup(queue, project)
        return None if driver is None else driver.message_controller

    def get_claim_controller(self, queue: str, project: Project = None) -> ClaimController | None:
        """Return the claim controller of the queue's pool; None when the queue has no assignment."""
        driver = self.lookup(queue, project)
        return None if driver is None else driver.claim_controller

    def get_subscription_controller(self, queue: str, project: Project = None) -> SubscriptionController | None:
        """Return the subscription controller of the queue's pool; None when the queue has no assignment."""
        driver = self.lookup(queue, project)
        return None if driver is None else driver.subscription_controller

    # All pools.

    def capabilities(self) -> tuple[Capabilities, ...]:
        """Return the capabilities that every pool has, and so every queue."""
        rows, known = self.rows(), []
        if not rows:
            return capabilities_of(self.control.uri) if self._enable_virtual_pool else ()
        for row in rows:
            with suppress(errors.ConfigurationError):  # a URI that no driver serves here
                known.append(set(capabilities_of(self.control.uri if _is_virtual(row) else row["uri"])))
        return tuple(sorted(set.intersection(*known))) if known else ()

    def rows(self) -> list[Pool]:
        """Return the rows of all pools."""
        return self.open_pools.rows()

    def close(self) -> None:
        """Close the pools, and a control store that was opened from a URI. Idempotent."""
        self._routes.clear()
        self.open_pools.close()
        if self._owns_control:
            close_quietly(self.control)

    # Choosing a pool.

    def _register(self, queue: str, project: Project, flavor: str | None) -> str:
        now = self._time()
        try:
            # Never from a cache: a queue deleted by another process would be declared without an assignment.
            name = self.control.catalogue_controller.get(project, queue)["pool"]
        except errors.QueueNotMapped:
            name = self._assign(queue, project, flavor)
            self._invalidate(queue, project)
        else:
            if not self.open_pools.exists(name):
                name = self._reassign(queue, project, flavor)
                self._invalidate(queue, project)
        self._assignments.set(project, queue, CachedAssignment(name, now))
        return name

    def _assign(self, queue: str, project: Project, flavor: str | None) -> str:
        for _ in range(_MAX_ATTEMPTS):
            chosen = choose_weighted(self._candidates(flavor, project))
            if chosen is None:
                break
            try:
                return self.control.catalogue_controller.insert_if_absent(project, queue, chosen["name"])
            except errors.PoolDoesNotExist:
                continue  # deleted since it was chosen
        raise errors.NoPoolFound

    def _reassign(self, queue: str, project: Project, flavor: str | None) -> str:
        """Assign a queue whose pool was deleted. Two processes that do so at once choose the same pool."""
        digest = zlib.crc32(repr((project, queue)).encode("utf-8", "surrogatepass"))
        chosen = choose_weighted(self._candidates(flavor, project), lambda low, high: low + digest % (high - low + 1))
        if chosen is None:
            raise errors.NoPoolFound
        try:
            self.control.catalogue_controller.update(project, queue, chosen["name"])
        except errors.QueueNotMapped:  # deleted meanwhile
            return self._assign(queue, project, flavor)
        return chosen["name"]

    def _candidates(self, flavor: str | None, project: Project = None) -> list[Pool]:
        pools = self.control.pools_controller
        if flavor:
            requested = self.control.flavors_controller.get(flavor, project=project)
            return list(pools.get_pools_by_flavor(requested, detailed=True))
        rows = list(pools.get_pools_by_flavor(detailed=True))
        if not rows and self._enable_virtual_pool:
            if not list(next(pools.list(limit=1))):
                self._add_virtual_pool()
            # Another process may have added a pool since the first read.
            rows = list(pools.get_pools_by_flavor(detailed=True))
        return rows

    def _add_virtual_pool(self) -> None:
        try:
            self.control.pools_controller.create(
                DEFAULT_POOL, DEFAULT_WEIGHT, self.control.uri, options={VIRTUAL: True}
            )
        except errors.PoolAlreadyExists:
            logger.debug("Another process added the pool %s at the same moment", DEFAULT_POOL)

    # Caching.

    def _open_pool(self, queue: str, project: Project) -> PoolHandle:
        version = self.version
        assignment = self._assignment(queue, project)
        if assignment is None:
            self._routes.pop((project, queue), None)
            return self.unassigned
        pool = self.open_pools.get(assignment.pool)
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        start = min(assignment.read_at, pool.read_at)
        self._routes[project, queue] = (start, start + self._ttl, pool)
        if self.version is not version:  # as in _assignment()
            self._routes.pop((project, queue), None)
        return pool

    def _assignment(self, queue: str, project: Project) -> CachedAssignment | None:
        version, now = self.version, self._time()
        assignment = self._assignments.get(project, queue, now)
        if assignment is not None:
            return assignment
        try:
            assignment = CachedAssignment(self.control.catalogue_controller.get(project, queue)["pool"], now)
        except errors.QueueNotMapped:
            return None
        except errors.ConnectionError:
            route = self._routes.get((project, queue))
            if route is None:
                raise
            # The control store is unreachable; the pool may still answer.
            return CachedAssignment(route[2].name, now)
        self._assignments.set(project, queue, assignment)
        if self.version is not version:
            # Compared after storing: a concurrent change is either seen here, or deletes the cached assignment itself.
            self._assignments.delete(project, queue)
        return assignment

    def _invalidate(self, queue: str, project: Project) -> None:
        self.version = object()
        self._routes.pop((project, queue), None)
        self._assignments.delete(project, queue)


def _is_virtual(row: Pool) -> bool:
    return bool((row.get("options") or {}).get(VIRTUAL))
