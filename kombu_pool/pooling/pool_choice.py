"""The choice of the pool that a new queue is assigned to."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from kombu_pool import errors
from kombu_pool.drivers import capabilities_of
from kombu_pool.pooling.selection import choose_weighted
from kombu_pool.storage import CONTROL_POOL, VIRTUAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.model import Pool, Project
    from kombu_pool.pooling.open_pools import OpenPools
    from kombu_pool.storage import ControlDriver

logger = logging.getLogger(__name__)

DEFAULT_POOL = "default"
#: Name of the virtual pool where a pool of another store has the name ``default``.
_OTHER_DEFAULT_POOL = "kombu_pool.default"
DEFAULT_WEIGHT = 100


class PoolChoice:
    """Chooses a pool by weight among the eligible ones that answer; the control store serves where there is none.

    Eligible are the pools with a weight above 0 and the requested flavor; without one, those that have no flavor.
    """

    def __init__(self, control: ControlDriver, open_pools: OpenPools, *, enable_virtual_pool: bool) -> None:
        self._control = control
        self._open_pools = open_pools
        self._enable_virtual_pool = enable_virtual_pool

    def choose(self, queue: str, project: Project, flavor: str | None, *, expires: bool) -> str:
        """Return the name of a pool for a new queue. One that ``expires``, without a flavor, is the control store's.

        Raises:
            FlavorDoesNotExist: the project has no such flavor.
            PoolDoesNotExist: the eligible pools were deleted meanwhile.
            PoolUnavailable: there are eligible pools, and none answers.
            NoPoolFound: there is no eligible pool, and the control store does not serve.
        """
        if expires and not flavor and self._is_control_store_a_pool():
            return self._control_queue_pool()
        eligible = self.eligible(flavor, project)
        if eligible:
            return self.choose_answering(eligible, queue, project)
        if not flavor and self._enable_virtual_pool:
            return self.control_store_pool()
        raise errors.NoPoolFound(queue, project, flavor, _describe(self._open_pools.rows()))

    def eligible(self, flavor: str | None, project: Project = None) -> list[Pool]:
        """Return the rows of the eligible pools; raise FlavorDoesNotExist for an unknown flavor."""
        requested = self._control.flavors_controller.get(flavor, project=project) if flavor else None
        rows = self._control.pools_controller.get_pools_by_flavor(requested, detailed=True)
        return [row for row in rows if row["weight"] > 0]

    def control_store_pool(self) -> str:
        """Return the name of the pool that is the control store and takes any queue, which is added if necessary."""
        rows = self._open_pools.rows()
        return self._find_control_store(rows) or self._add_default_pool(rows)

    def _control_queue_pool(self) -> str:
        """Return the name of the pool of control queues, which is added if necessary."""
        rows = self._open_pools.rows()
        found = self._find_control_store(rows)
        if found is not None:
            return found
        is_served = any(row["weight"] > 0 and not row["flavor"] for row in rows)
        if not is_served and self._enable_virtual_pool:
            # The first queue without an expiry would add this pool: two over one store would need two drivers.
            return self._add_default_pool(rows)
        if not any(row["name"] == CONTROL_POOL for row in rows):
            self._add(CONTROL_POOL, 0)
        return CONTROL_POOL

    def _find_control_store(self, rows: Iterable[Pool]) -> str | None:
        names = (row["name"] for row in rows if is_virtual(row) or row["uri"] == self._control.uri)
        return next((name for name in names if name != CONTROL_POOL), None)

    def _add_default_pool(self, rows: Iterable[Pool]) -> str:
        """Add the virtual pool. Beside other pools it has no weight: it serves only while none of them is eligible."""
        others = {row["name"] for row in rows} - {CONTROL_POOL}
        name = _OTHER_DEFAULT_POOL if DEFAULT_POOL in others else DEFAULT_POOL
        self._add(name, 0 if others else DEFAULT_WEIGHT)
        return self._find_control_store(self._open_pools.rows()) or name

    def _add(self, name: str, weight: int) -> None:
        with suppress(errors.PoolAlreadyExists):  # another process added a pool of this URI
            add = self._control.pools_controller.create_if_absent
            add(name, weight, self._control.uri, options={VIRTUAL: True}, restore=True)

    def _is_control_store_a_pool(self) -> bool:
        """Return whether a data driver serves the control store's URI."""
        try:
            return bool(capabilities_of(self._control.uri))
        except errors.ConfigurationError:
            return False

    def choose_answering(self, rows: list[Pool], queue: str, project: Project) -> str:
        """Return the name of one of the pools, by weight among those that answer."""
        first: errors.KombuPoolError | None = None
        while (chosen := choose_weighted(rows)) is not None:
            name = chosen["name"]
            try:
                self._require_answer(name, queue, project)
            except (errors.PoolUnavailable, errors.PoolDoesNotExist) as error:
                logger.info("Queue %r is assigned to another pool if there is one: %s", queue, error)
                if first is None or isinstance(first, errors.PoolDoesNotExist):
                    first = error
                rows = [row for row in rows if row["name"] != name]
            else:
                return name
        raise first or errors.PoolDoesNotExist("")

    def _require_answer(self, name: str, queue: str, project: Project) -> None:
        """Raise PoolUnavailable unless the pool answers. A pool that did not a moment ago is not asked again."""
        outage = self._open_pools.peek(name).recent_outage()
        if outage is not None:
            raise errors.PoolUnavailable(name, outage.reason)
        with self._open_pools.get(name) as pool:
            # Unlike is_alive(), it tells an unreachable store from one that answers with an error.
            pool.queues.exists(queue, project)


def is_virtual(row: Pool) -> bool:
    """Return whether the pool is the control store itself, wherever that is."""
    return bool((row.get("options") or {}).get(VIRTUAL))


def _describe(rows: Iterable[Pool]) -> str:
    """Return the pools with their weights and flavors, for an error."""
    texts = [
        f"{row['name']} (weight {row['weight']}, {'flavor ' + row['flavor'] if row['flavor'] else 'no flavor'})"
        for row in rows
    ]
    return ", ".join(texts) or "none"
