"""The catalog: assigns queues to pools, and opens the pool of a queue."""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool import conf as configuration
from kombu_pool import errors
from kombu_pool.clock import SYSTEM_CLOCK
from kombu_pool.drivers import capabilities_of, open_control
from kombu_pool.model import ACTIVE, DELETING, EXPIRED, MOVING, NO_INCARNATION
from kombu_pool.moves import COPYING
from kombu_pool.pooling.cache import AssignmentCache, CachedAssignment
from kombu_pool.pooling.counters import QueueCounters
from kombu_pool.pooling.moving.assignments import source_of
from kombu_pool.pooling.moving.moving_pool import MoveSource, MovingPool
from kombu_pool.pooling.moving.unanswered import UnansweredPosts
from kombu_pool.pooling.open_pools import OpenPools, close_quietly
from kombu_pool.pooling.pool_choice import PoolChoice, is_virtual
from kombu_pool.pooling.pool_handle import empty_pool
from kombu_pool.pooling.queue_lives import QueueLives
from kombu_pool.pooling.selection import choose_weighted
from kombu_pool.storage import DeadLetterHooks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.model import Assignment, Capabilities, Metadata, Pool, Project
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

#: Attempts to assign a queue, each to another pool when the chosen one was deleted meanwhile.
_MAX_ATTEMPTS = 10
#: Most cached routes; the cache is emptied when it is full.
_MAX_ROUTES = 50_000


class Route(NamedTuple):
    """The pool of a queue, its incarnation there, and the time in which both may be used without another look."""

    start: float
    end: float
    pool: PoolHandle
    incarnation: str | None


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
        #: Chooses the pools of new queues.
        self.choice = PoolChoice(self.control, self.open_pools, enable_virtual_pool=self._enable_virtual_pool)
        #: The pool of the queues without an assignment, which is always empty.
        self.unassigned = empty_pool(self._clock)
        # The route of every published message.
        self._routes: dict[tuple[Project, str], Route] = {}
        self._time = self._clock.time
        #: Version of the catalogue as this process knows it: a new object after each change that the process made.
        self.version = object()
        #: What this process does with each queue.
        self.counters = QueueCounters(self.control)
        #: Creates and deletes queues.
        self.lives = QueueLives(self.control, self.open_pools, self.assign, self.open, self.invalidate, self._clock)
        self.unanswered = UnansweredPosts(self.control.uri, self.open_pools)
        #: Moves queues to other pools.
        self.moves = self.lives.moves

    def now(self) -> float:
        """Return the time by the catalog's clock."""
        return self._time()

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
            PoolUnavailable: such pools exist, and none answers; nothing is written.
        """
        self._register(queue, project, flavor)

    def register_and_open(self, queue: str, project: Project = None, flavor: str | None = None) -> PoolHandle:
        """Register the queue as :meth:`register` does, and return its pool with its driver open."""
        return self.open_pools.get(self._register(queue, project, flavor))

    def deregister(self, queue: str, project: Project = None) -> None:
        """Delete the queue's assignment. Idempotent."""
        self.control.catalogue_controller.delete(project, queue)
        self.invalidate(queue, project)

    def assign(
        self,
        queue: str,
        project: Project,
        flavor: str | None,
        found: Assignment | None,
        *,
        lease: float | None = None,
        expires: bool = False,
    ) -> tuple[Assignment, bool]:
        """Assign the queue in place of the assignment that was ``found``; return the present one, and if it is new.

        ``expires``: the queue is a control queue, unless it has a flavor. Raises as :meth:`register` does.
        """
        catalogue = self.control.catalogue_controller
        if found is not None and self.open_pools.exists(found.pool):
            with suppress(errors.PoolDoesNotExist):
                return catalogue.assign(project, queue, found.pool, replaces=found, lease=lease)
        for _ in range(_MAX_ATTEMPTS):
            with suppress(errors.PoolDoesNotExist):  # deleted since it was chosen
                chosen = self.choice.choose(queue, project, flavor, expires=expires)
                return catalogue.assign(project, queue, chosen, replaces=found, lease=lease)
        raise errors.NoPoolFound(queue, project, flavor, "each was deleted while it was chosen")

    # Finding.

    def route(self, queue: str, project: Project = None) -> Route:
        """Return the route of the queue, with the driver of its pool open; raises as :meth:`pool` does."""
        route = self._routes.get((project, queue))
        if route is not None and route.start <= self._time() < route.end:
            return route
        return self._open_route(queue, project)

    def pool(self, queue: str, project: Project = None) -> PoolHandle:
        """Return the queue's pool with its driver open; :attr:`unassigned` when the queue has no assignment.

        Raises:
            PoolDoesNotExist: the pool was deleted, but not the assignment.
            PoolUnavailable: the pool's store cannot be opened.
        """
        return self.route(queue, project).pool

    def fresh_route(self, queue: str, project: Project = None) -> Route:
        """Return the route of the queue as :meth:`route` does, but read from the control store instead of a cache."""
        self.invalidate(queue, project)
        return self._open_route(queue, project)

    def pool_of(self, queue: str, project: Project = None) -> str | None:
        """Return the name of the queue's pool; None when the queue has no assignment."""
        return self._place(queue, project)[0]

    def look_up(self, queue: str, project: Project = None) -> Metadata | None:
        """Return the queue's metadata as the control store has it now; the next route is read in the same look.

        None: there is no such queue, or a step of its life is unfinished.
        """
        version, now, (found, expires, metadata) = self.version, self._time(), self.control.look_up(queue, project)
        if found is None or found.state not in (ACTIVE, MOVING) or metadata is None or not self._has_pool(found.pool):
            return None
        self._routes.pop((project, queue), None)
        if found.state == ACTIVE:
            self._cached(queue, project, _to_cached(found, now, expires), version)
        return metadata

    def _has_pool(self, name: str) -> bool:
        """Return whether there is such a pool, and open it if it answers."""
        if self.open_pools.peek(name).recent_outage() is None:
            try:
                self.open_pools.get(name)
            except errors.PoolDoesNotExist:
                return False
            except errors.PoolUnavailable:
                pass
        return True

    def place_of(self, queue: str, project: Project = None) -> str | None:
        """Return the queue's pool, with the part of it where a part may be unreachable by itself; None as above."""
        name = self.pool_of(queue, project)
        driver = None if name is None else self.open_pools.peek(name).driver
        part = None if driver is None else driver.part_of(queue, project)
        return name if part is None else f"{name} at {part}"

    def is_known_to_be_down(self, queue: str, project: Project = None) -> bool:
        """Return whether a call to the queue's pool failed less than a second ago. No pool is asked."""
        name = self.pool_of(queue, project)
        return name is not None and self.open_pools.peek(name).recent_outage() is not None

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
        eligible = self.choice.eligible(None)
        if not eligible and self._enable_virtual_pool:
            return self.get_driver(self.choice.control_store_pool())
        chosen = choose_weighted([row for row in eligible if use_listing or is_virtual(row)])
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

    def pools_of(self, queue: str, project: Project = None) -> Sequence[str]:
        """Return the names of the pools where consumers may find messages; none without an assignment, or in a copy."""
        name, source = self._place(queue, project)
        if name is None or (source is not None and source[2] and self._is_copying(queue, project)):
            return ()
        return (name,) if source is None else (name, source[0])

    def _place(self, queue: str, project: Project) -> tuple[str | None, tuple[str, str, bool] | None]:
        """Return the name of the queue's pool, and the source of its move; None for what there is not."""
        route = self._routes.get((project, queue))
        if route is not None and route.start <= self._time() < route.end:
            return route.pool.name, getattr(route.pool, "source", None)
        assignment = self._assignment(queue, project)
        return (None, None) if assignment is None else (assignment.pool, assignment.source)

    # All pools.

    def capabilities(self) -> tuple[Capabilities, ...]:
        """Return the capabilities that every pool has, and so every queue."""
        rows, known = self.rows(), []
        if not rows:
            return capabilities_of(self.control.uri) if self._enable_virtual_pool else ()
        for row in rows:
            with suppress(errors.ConfigurationError):  # a URI that no driver serves here
                known.append(set(capabilities_of(self.control.uri if is_virtual(row) else row["uri"])))
        return tuple(sorted(set.intersection(*known))) if known else ()

    def rows(self) -> list[Pool]:
        """Return the rows of all pools."""
        return self.open_pools.rows()

    def close(self) -> None:
        """Add what is counted, close the pools, and a control store that was opened from a URI. Idempotent."""
        self.counters.close()
        self._routes.clear()
        self.open_pools.close()
        if self._owns_control:
            close_quietly(self.control)

    def _register(self, queue: str, project: Project, flavor: str | None) -> str:
        while True:
            # Never from a cache: a queue deleted by another process would be declared without an assignment.
            found = self.control.catalogue_controller.find(project, queue)
            if found is not None and found.state == DELETING:
                self.lives.end_deletion(project, queue, found)
                continue
            if found is not None and found.state == EXPIRED:
                self.lives.expire(queue, project)
                continue
            if found is None or not self.open_pools.exists(found.pool):
                found, _ = self.assign(queue, project, flavor, found)
                self.invalidate(queue, project)
            return found.pool

    # Caching.

    def _open_route(self, queue: str, project: Project) -> Route:
        version = self.version
        assignment = self._assignment(queue, project)
        if assignment is None:
            self._routes.pop((project, queue), None)
            return Route(0.0, 0.0, self.unassigned, None)
        pool = self._open(queue, project, assignment)
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        start = min(assignment.read_at, pool.read_at)
        route = Route(start, min(start + self._ttl, assignment.expires), pool, assignment.incarnation)
        if assignment.incarnation != NO_INCARNATION:
            self._routes[project, queue] = route
            if self.version is not version:  # as in _assignment()
                self._routes.pop((project, queue), None)
        return route

    def open(self, queue: str, project: Project, found: Assignment) -> PoolHandle:
        """Return the pool of a queue by its assignment, with its driver open; of one that is moving, both its pools."""
        return self._open(queue, project, _to_cached(found, self._time(), math.inf))

    def _open(self, queue: str, project: Project, assignment: CachedAssignment) -> PoolHandle:
        pool = self.open_pools.get(assignment.pool)
        if assignment.source is None:
            return pool
        source = MoveSource(*assignment.source)
        open_source = partial(self.open_pools.get, source.pool)
        return MovingPool(pool, source, open_source, partial(self._is_copying, queue, project), self._time)

    def _is_copying(self, queue: str, project: Project) -> bool:
        """Return whether the messages of a queue are being copied yet."""
        found = self.control.catalogue_controller.find(project, queue)
        if found is not None and found.move is not None and found.move.phase == COPYING:
            return True
        self.invalidate(queue, project)
        return False

    def _assignment(self, queue: str, project: Project) -> CachedAssignment | None:
        version, now = self.version, self._time()
        assignment = self._assignments.get(project, queue, now)
        if assignment is not None:
            return assignment
        try:
            found, expires = self.control.catalogue_controller.find_until(project, queue)
        except errors.ConnectionError:
            route = self._routes.get((project, queue))
            if route is None:
                raise
            # The control store is unreachable; the pool may still answer.
            return CachedAssignment(route.pool.name, route.incarnation or NO_INCARNATION, now, math.inf)
        if found is None or found.state in (DELETING, EXPIRED):
            return None
        if found.state != ACTIVE:
            return CachedAssignment(found.pool, NO_INCARNATION, now, math.inf)  # for one use
        return self._cached(queue, project, _to_cached(found, now, expires), version)

    def _cached(self, queue: str, project: Project, assignment: CachedAssignment, version: object) -> CachedAssignment:
        """Cache and return an assignment that was read while the catalogue had this version."""
        self._assignments.set(project, queue, assignment)
        if self.version is not version:
            # Compared after storing: a concurrent change is either seen here, or deletes the cached assignment itself.
            self._assignments.delete(project, queue)
        return assignment

    def invalidate(self, queue: str, project: Project = None) -> None:
        """Forget what is cached of the queue."""
        self.version = object()
        self._routes.pop((project, queue), None)
        self._assignments.delete(project, queue)


def _to_cached(found: Assignment, now: float, expires: float) -> CachedAssignment:
    """Return what is cached of an assignment that was read at a time."""
    return CachedAssignment(found.pool, found.incarnation, now, expires, source_of(found))
