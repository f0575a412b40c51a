"""The open pools of this process: each driver is opened once, and replaced when its pool's row changes."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from kombu_pool import errors
from kombu_pool.drivers import is_created, open_data
from kombu_pool.pooling.pool_handle import PoolHandle, Settings
from kombu_pool.storage import VIRTUAL

if TYPE_CHECKING:
    from kombu_pool.clock import Clock
    from kombu_pool.model import Pool
    from kombu_pool.storage import ControlDriver, DataDriver, DeadLetterHooks

logger = logging.getLogger(__name__)

#: Age, in seconds, at which a replaced driver is closed: no call can still be running in it.
RETIREMENT_PERIOD = 60.0


class OpenPools:
    """The pools that this process uses."""

    def __init__(
        self,
        conf: Any,
        cache: Any,
        control: ControlDriver,
        *,
        clock: Clock,
        ttl: float,
        dead_letter_hooks: DeadLetterHooks,
    ) -> None:
        self._dead_letter_hooks = dead_letter_hooks
        self._conf = conf
        self._cache = cache
        self._control = control
        self._clock = clock
        self._ttl = ttl
        self._pools: dict[str, PoolHandle] = {}
        self._retired: deque[tuple[float, DataDriver]] = deque()
        self._lock = threading.Lock()
        _instances.add(self)

    def get(self, name: str, row: Pool | None = None) -> PoolHandle:
        """Return the pool with its driver open; its row is read again once it is older than the ttl.

        ``row`` replaces the one in the control store.

        Raises:
            PoolDoesNotExist: there is no such pool.
            PoolUnavailable: its store cannot be opened.
        """
        pool = self._pools.get(name) or self.peek(name)
        if row is None and pool.is_fresh(self._clock.time(), self._ttl):
            return pool
        with pool.lock:
            now = self._clock.time()
            if row is None:
                if pool.is_fresh(now, self._ttl):
                    return pool
                row = self._read(pool)
            if row is not None:
                self._open(pool, self._settings(row))
            pool.read_at = now
        return pool

    def exists(self, name: str) -> bool:
        """Return whether there is such a pool; the control store is read when the pool's row is older than the ttl."""
        pool = self._pools.get(name)
        if pool is not None and pool.is_fresh(self._clock.time(), self._ttl):
            return True
        return self._control.pools_controller.exists(name)

    def rows(self) -> list[Pool]:
        """Return the rows of all pools."""
        return list(next(self._control.pools_controller.list(limit=0, detailed=True)))

    def open_rows(self) -> list[Pool]:
        """Return the rows of the open pools, for an outage of the control store."""
        return [
            {"name": pool.name, "uri": pool.settings.uri, "weight": 0, "flavor": None}
            for pool in self.opened()
            if pool.settings is not None
        ]

    def is_created(self, row: Pool) -> bool:
        """Return whether a pool has a store, or one that is down."""
        if (row.get("options") or {}).get(VIRTUAL) or self.peek(row["name"]).driver is not None:
            return True
        try:
            return is_created(row["uri"], conf=self._conf, options=row.get("options"))
        except errors.KombuPoolError:
            return True

    def opened(self) -> list[PoolHandle]:
        """Return the pools whose drivers are open."""
        return [pool for pool in list(self._pools.values()) if pool.driver is not None]

    def peek(self, name: str) -> PoolHandle:
        """Return the pool without opening its driver."""
        return self._pools.setdefault(name, PoolHandle(name, self._clock, self._control.uri))

    def close_retired(self, older_than: float = RETIREMENT_PERIOD) -> None:
        """Close the drivers that were replaced at least ``older_than`` seconds ago."""
        while (driver := self._next_retired(older_than)) is not None:
            close_quietly(driver)

    def close(self) -> None:
        """Close every open driver."""
        for pool in list(self._pools.values()):
            pool.retire()
        for pool in self.opened():
            driver, pool.driver, pool.settings = pool.driver, None, None
            close_quietly(driver)
        self._pools.clear()
        self.close_retired(older_than=float("-inf"))

    def renew_locks(self) -> None:
        """Replace the locks in a forked child: a thread of the parent may have held them at the fork."""
        self._lock = threading.Lock()
        for pool in self._pools.values():
            pool.lock = threading.Lock()

    def _next_retired(self, older_than: float) -> DataDriver | None:
        with self._lock:
            if self._retired and self._retired[0][0] + older_than <= self._clock.time():
                return self._retired.popleft()[1]
        return None

    def _read(self, pool: PoolHandle) -> Pool | None:
        """Return the pool's row; None when the control store is unreachable and the driver is open already."""
        try:
            return self._control.pools_controller.get(pool.name, detailed=True)
        except errors.PoolDoesNotExist:
            self._pools.pop(pool.name, None)
            pool.forget_outage()
            self._retire(pool.driver)
            raise
        except errors.ConnectionError:
            if pool.driver is None:
                raise
            return None

    def _settings(self, row: Pool) -> Settings:
        options = dict(row.get("options") or {})
        virtual = options.pop(VIRTUAL, False)
        return Settings(self._control.uri if virtual else row["uri"], options)

    def _open(self, pool: PoolHandle, settings: Settings) -> None:
        if pool.settings == settings:
            return
        with pool:
            driver = open_data(
                settings.uri,
                control=self._control,
                conf=self._conf,
                cache=self._cache,
                clock=self._clock,
                options=dict(settings.options),
                dead_letter_hooks=self._dead_letter_hooks,
            )
        self._retire(pool.use_driver(driver, settings))

    def _retire(self, driver: DataDriver | None) -> None:
        if driver is not None:
            # Not closed at once: another thread may be in one of its calls.
            self._retired.append((self._clock.time(), driver))
        self.close_retired()


def close_quietly(driver: DataDriver | ControlDriver | None) -> None:
    """Close a driver and log its errors, which must not keep other drivers open."""
    if driver is None:
        return
    try:
        driver.close()
    except errors.ConnectionError as error:
        logger.debug("A store that does not answer is closed: %s", error)
    except Exception:
        logger.warning("Closing a store failed", exc_info=True)


_instances: weakref.WeakSet[OpenPools] = weakref.WeakSet()


def _after_fork() -> None:
    for open_pools in list(_instances):
        open_pools.renew_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
