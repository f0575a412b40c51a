"""Waits for messages in many pools at once."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from kombu_pool import errors, storage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.model import Project
    from kombu_pool.pooling.catalog import Catalog
    from kombu_pool.pooling.pool_handle import PoolHandle
    from kombu_pool.storage import DataDriver

logger = logging.getLogger(__name__)

#: Interval of lookups while a watched queue has no assignment, in seconds: another process may declare it.
_UNASSIGNED_INTERVAL = 1.0
#: Interval of checks for a change made by this process while a watched queue has no assignment, in seconds.
_LOCAL_CHECK_INTERVAL = 0.05
#: Seconds between attempts to watch a pool that is down.
_RETRY_INTERVAL = 1.0
#: Longest single wait of a pool's thread, in seconds.
_WAIT_TIMEOUT = 10.0


class PoolQueues(NamedTuple):
    """The watched queues of one pool, and the driver that watches them; None when the pool is not open."""

    pool: PoolHandle
    driver: DataDriver | None
    queues: frozenset[tuple[Project, str]]

    def watch(self, catalog: Catalog) -> storage.Watch:
        """Watch the queues, opening the pool if necessary."""
        driver = self.driver or catalog.get_driver(self.pool.name)
        with self.pool:
            return driver.watch(self.queues)


class PooledWatch(storage.Watch):
    """Watches one pool directly, or several with a thread each; follows queues whose assignment changes.

    The outage of a pool ends the wait for its queues only when no other pool is watched.
    """

    def __init__(self, catalog: Catalog, queues: Iterable[tuple[Project, str]]) -> None:
        self._catalog = catalog
        self._queues = list(dict.fromkeys(queues))
        self._fired = threading.Event()
        self._by_pool: list[PoolQueues] = []
        self._has_unassigned = False
        self._single_watch: storage.Watch | None = None
        self._watchers: list[PoolWatcher] = []
        self._seen_version: object = None
        self._next_refresh = 0.0
        self._closed = False
        self._ready: frozenset[tuple[Project, str]] | None = None
        self._refresh_lock = threading.Lock()
        self._refresh()

    @property
    def ready(self) -> frozenset[tuple[Project, str]] | None:
        return self._ready

    def wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not self._closed:
            self._ready = None
            if self._is_refresh_due() and self._refresh():
                return True
            remaining = max(0.0, deadline - time.monotonic())
            if self._wait_once(min(remaining, self._refresh_delay())):
                self._fired.clear()
                return True
            if time.monotonic() >= deadline:
                break
        return False

    def interrupt(self) -> None:
        self._fired.set()
        watch = self._single_watch
        if watch is not None:
            watch.interrupt()

    def close(self) -> None:
        self._closed = True
        self.interrupt()
        with self._refresh_lock:
            self._close_watches()

    def _refresh_delay(self) -> float:
        remaining = 0.0 if self._has_unassigned else self._next_refresh - time.monotonic()
        return max(remaining, _LOCAL_CHECK_INTERVAL)

    def _is_refresh_due(self) -> bool:
        return self._seen_version is not self._catalog.version or time.monotonic() >= self._next_refresh

    def _refresh(self) -> bool:
        """Look up the pool of each queue; return whether the watches were replaced, which counts as a wake-up."""
        with self._refresh_lock:
            if self._closed:
                return False
            self._seen_version = self._catalog.version
            try:
                by_pool, complete = self._group_by_pool()
            except errors.ConnectionError as error:
                logger.debug("Looking up the pools of the watched queues failed: %s", error)
                by_pool, complete = self._by_pool, False
            self._has_unassigned = not complete
            replaced = self._replace_watches(by_pool)
            ttl = max(self._catalog.ttl, _UNASSIGNED_INTERVAL) if complete else _UNASSIGNED_INTERVAL
            self._next_refresh = time.monotonic() + ttl
            return replaced

    def _replace_watches(self, by_pool: list[PoolQueues]) -> bool:
        is_watching = self._single_watch is not None or len(self._watchers) == len(by_pool)
        if is_watching and by_pool == self._by_pool:
            return False
        self._close_watches()
        self._by_pool = by_pool
        self._next_refresh = 0.0  # if the pool is down, the next wait tries again
        if len(by_pool) == 1 and not self._has_unassigned:
            self._single_watch = by_pool[0].watch(self._catalog)
        else:
            self._watchers = [PoolWatcher(queues, self._catalog, self._fired) for queues in by_pool]
        return True

    def _group_by_pool(self) -> tuple[list[PoolQueues], bool]:
        found: dict[PoolHandle, set[tuple[Project, str]]] = {}
        complete = True
        for project, queue in self._queues:
            pools = [self._find_pool(name) for name in self._catalog.pools_of(queue, project)]
            # The pools of a queue that is moving change again.
            complete = complete and len(pools) == 1 and None not in pools
            for pool in pools:
                if pool is not None:
                    found.setdefault(pool, set()).add((project, queue))
        return [PoolQueues(pool, pool.driver, frozenset(queues)) for pool, queues in found.items()], complete

    def _find_pool(self, name: str) -> PoolHandle | None:
        pool = self._catalog.open_pools.peek(name)
        if pool.driver is None and pool.outage is not None:
            return pool  # its watcher opens it: an attempt here could delay the other pools
        try:
            return self._catalog.open_pools.get(name)
        except errors.PoolUnavailable:
            return pool
        except errors.PoolDoesNotExist:
            return None

    def _close_watches(self) -> None:
        watch, self._single_watch = self._single_watch, None
        if watch is not None:
            watch.close()
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.close()

    def _wait_once(self, timeout: float) -> bool:
        watch = self._single_watch
        if watch is None:
            for watcher in self._watchers:
                watcher.resume()
            return self._fired.wait(timeout)
        if self._fired.is_set():
            return True
        try:
            with self._by_pool[0].pool:
                is_woken = watch.wait(timeout)
            self._ready = watch.ready
        except errors.ConnectionError:
            self._close_watches()
            self._next_refresh = 0.0
            raise
        return is_woken


class PoolWatcher:
    """Watches one pool in a thread of its own, and sets an event at each wake-up."""

    def __init__(self, queues: PoolQueues, catalog: Catalog, fired: threading.Event) -> None:
        self._queues = queues
        self._catalog = catalog
        self._fired = fired
        self._resumed = threading.Event()
        self._closing = threading.Event()
        self._watch: storage.Watch | None = None
        if queues.driver is not None:
            try:
                # Before the thread starts, so that a message posted after this constructor is not missed.
                self._watch = queues.watch(catalog)
            except errors.PoolUnavailable as error:
                logger.debug("%s; its queues are watched again once it answers", error)
        self._thread = threading.Thread(target=self._run, name=f"kombu_pool watch {queues.pool.name}", daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Continue after a wake-up. Without this pause, events that no caller waits for would cost CPU time."""
        self._resumed.set()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._resumed.set()
        watch = self._watch
        if watch is not None:
            watch.interrupt()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=_RETRY_INTERVAL)
        if watch is not None:
            watch.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._resumed.wait()
            self._resumed.clear()
            while not self._closing.is_set():
                if self._wait_once():
                    self._fired.set()
                    break

    def _wait_once(self) -> bool:
        try:
            if self._watch is None:
                self._watch = self._queues.watch(self._catalog)
                return True  # a message may have arrived during the outage
            with self._queues.pool:
                return self._watch.wait(_WAIT_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - if the thread ended, its queues would stay unwatched
            if not self._closing.is_set():
                logger.debug("Watching pool %s again in %s s: %s", self._queues.pool.name, _RETRY_INTERVAL, error)
            self._discard_watch()
            self._closing.wait(_RETRY_INTERVAL)
            return False

    def _discard_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            try:
                watch.close()
            except Exception:
                logger.debug("Closing a watch failed", exc_info=True)
