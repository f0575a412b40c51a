"""Opens the drivers of the pools, each once, and replaces them when their pools change."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from kombu_pool import errors
from kombu_pool.drivers import open_data
from kombu_pool.pooling.pool_handle import Member, Settings

if TYPE_CHECKING:
    from kombu_pool.clock import Clock
    from kombu_pool.model import Pool
    from kombu_pool.storage import ControlDriver, DataDriver, DeadLetterHooks

logger = logging.getLogger(__name__)

#: The option that marks the control store serving as a pool: it is found wherever the control store is now.
VIRTUAL = "virtual"

#: Seconds after which nobody can be inside a call to a driver that was replaced.
RETIREMENT = 60.0


class Members:
    """The pools that this process has to do with."""

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
        self._members: dict[str, Member] = {}
        self._retired: deque[tuple[float, DataDriver]] = deque()
        self._lock = threading.Lock()
        _living.add(self)

    def get(self, name: str, row: Pool | None = None) -> Member:
        """Return the pool with its driver open; its row is read again when it was not for the ttl.

        ``row`` stands for the one in the control store.

        Raises:
            PoolDoesNotExist: there is none of that name.
            PoolUnavailable: its store cannot be opened.
        """
        member = self._members.get(name) or self._members.setdefault(name, Member(name, self._clock))
        if row is None and member.is_fresh(self._clock.time(), self._ttl):
            return member
        with member.lock:
            now = self._clock.time()
            if row is None:
                if member.is_fresh(now, self._ttl):
                    return member
                row = self._read(member)
            if row is not None:
                self._open(member, self._settings(row))
            member.read_at = now
        return member

    def is_known(self, name: str) -> bool:
        """Tell whether there is such a pool, from what was read less than the ttl ago or else from its row."""
        member = self._members.get(name)
        if member is not None and member.is_fresh(self._clock.time(), self._ttl):
            return True
        return self._control.pools_controller.exists(name)

    def rows(self) -> list[Pool]:
        """Return the rows of all pools."""
        return list(next(self._control.pools_controller.list(limit=0, detailed=True)))

    def known_rows(self) -> list[Pool]:
        """Return rows of the pools that are open, for when the control store is away."""
        return [
            {"name": member.name, "uri": member.settings.uri, "weight": 0, "flavor": None}
            for member in self.opened()
            if member.settings is not None
        ]

    def opened(self) -> list[Member]:
        """Return the pools whose drivers are open."""
        return [member for member in list(self._members.values()) if member.driver is not None]

    def peek(self, name: str) -> Member:
        """Return the pool, its driver open or not."""
        return self._members.setdefault(name, Member(name, self._clock))

    def sweep(self, older_than: float = RETIREMENT) -> None:
        """Close the drivers that were replaced so long ago."""
        while (due := self._next_due(older_than)) is not None:
            close_quietly(due)

    def close(self) -> None:
        """Close every driver that was opened."""
        for member in self.opened():
            driver, member.driver, member.settings = member.driver, None, None
            close_quietly(driver)
        self._members.clear()
        self.sweep(older_than=float("-inf"))

    def renew_locks(self) -> None:
        """Replace the locks, which a thread of the parent process may have held at the fork."""
        self._lock = threading.Lock()
        for member in self._members.values():
            member.lock = threading.Lock()

    def _next_due(self, older_than: float) -> DataDriver | None:
        with self._lock:
            if self._retired and self._retired[0][0] + older_than <= self._clock.time():
                return self._retired.popleft()[1]
        return None

    def _read(self, member: Member) -> Pool | None:
        """Return the pool's row; None when the control store is away, and the driver that is open goes on."""
        try:
            return self._control.pools_controller.get(member.name, detailed=True)
        except errors.PoolDoesNotExist:
            self._members.pop(member.name, None)
            self._retire(member.driver)
            raise
        except errors.ConnectionError:
            if member.driver is None:
                raise
            return None

    def _settings(self, row: Pool) -> Settings:
        options = dict(row.get("options") or {})
        virtual = options.pop(VIRTUAL, False)
        return Settings(self._control.uri if virtual else row["uri"], options)

    def _open(self, member: Member, settings: Settings) -> None:
        if member.settings == settings:
            return
        with member:
            driver = open_data(
                settings.uri,
                control=self._control,
                conf=self._conf,
                cache=self._cache,
                clock=self._clock,
                options=dict(settings.options),
                dead_letter_hooks=self._dead_letter_hooks,
            )
        self._retire(member.adopt(driver, settings))

    def _retire(self, driver: DataDriver | None) -> None:
        if driver is not None:
            # Not closed at once: another thread may be inside one of its calls.
            self._retired.append((self._clock.time(), driver))
        self.sweep()


def close_quietly(driver: DataDriver | ControlDriver | None) -> None:
    """Close a driver, whatever comes of it: the others have to be closed too."""
    if driver is None:
        return
    try:
        driver.close()
    except Exception:
        logger.warning("A store could not be closed properly", exc_info=True)


_living: weakref.WeakSet[Members] = weakref.WeakSet()


def _after_fork() -> None:
    for members in list(_living):
        members.renew_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
