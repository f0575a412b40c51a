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
    from kombu_pool.pooling.pool_handle import Member
    from kombu_pool.storage import DataDriver

logger = logging.getLogger(__name__)

#: Seconds after which a queue that is assigned to no pool is looked up again, in case another process declared it.
_UNASSIGNED = 1.0
#: Seconds after which such a queue is found once this process has declared it.
_NOTICE = 0.05
#: Seconds between attempts to watch a pool that is down.
_RETRY = 1.0
_TURN = 10.0


class Group(NamedTuple):
    """The watched queues that live in one pool, and the driver that watches them there; None: it is not open."""

    member: Member
    driver: DataDriver | None
    queues: frozenset[tuple[Project, str]]

    def watch(self, catalog: Catalog) -> storage.Watch:
        """Watch the queues in the pool, which is opened if it is not."""
        driver = self.driver or catalog.get_driver(self.member.name)
        with self.member:
            return driver.watch(self.queues)


class PooledWatch(storage.Watch):
    """Watches one pool directly, or several with a thread each; follows queues whose assignment changes.

    The outage of a pool ends the wait for its queues only if there are no others.
    """

    def __init__(self, catalog: Catalog, queues: Iterable[tuple[Project, str]]) -> None:
        self._catalog = catalog
        self._queues = list(dict.fromkeys(queues))
        self._fired = threading.Event()
        self._groups: list[Group] = []
        self._unassigned = False
        self._single: storage.Watch | None = None
        self._scouts: list[Scout] = []
        self._arranged_in: object = None
        self._next_look = 0.0
        self._closed = False
        self._arranging = threading.Lock()
        self._look()

    def wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not self._closed:
            if self._is_due() and self._look():
                return True
            left = max(0.0, deadline - time.monotonic())
            if self._listen(min(left, self._patience())):
                self._fired.clear()
                return True
            if time.monotonic() >= deadline:
                break
        return False

    def interrupt(self) -> None:
        self._fired.set()
        single = self._single
        if single is not None:
            single.interrupt()

    def close(self) -> None:
        self._closed = True
        self.interrupt()
        with self._arranging:
            self._leave()

    def _patience(self) -> float:
        return _NOTICE if self._unassigned else max(self._next_look - time.monotonic(), _NOTICE)

    def _is_due(self) -> bool:
        if self._arranged_in is not self._catalog.era:
            return True
        return time.monotonic() >= self._next_look

    def _look(self) -> bool:
        """Find the pool of each queue; tell whether something moved, so that nothing can have been missed there."""
        with self._arranging:
            if self._closed:
                return False
            self._arranged_in = self._catalog.era
            try:
                groups, complete = self._groups_now()
            except errors.ConnectionError as error:
                logger.debug("The queues watched stay where they are for now: %s", error)
                groups, complete = self._groups, False
            self._unassigned = not complete
            moved = self._rearrange(groups)
            self._next_look = time.monotonic() + (max(self._catalog.ttl, _UNASSIGNED) if complete else _UNASSIGNED)
            return moved

    def _rearrange(self, groups: list[Group]) -> bool:
        is_entered = self._single is not None or len(self._scouts) == len(groups)
        if is_entered and groups == self._groups:
            return False
        self._leave()
        self._groups = groups
        self._next_look = 0.0  # should the pool be down: looked for again at the next wait
        if len(groups) == 1 and not self._unassigned:
            self._single = groups[0].watch(self._catalog)
        else:
            self._scouts = [Scout(group, self._catalog, self._fired) for group in groups]
        return True

    def _groups_now(self) -> tuple[list[Group], bool]:
        found: dict[Member, set[tuple[Project, str]]] = {}
        complete = True
        for project, queue in self._queues:
            member = self._home(queue, project)
            if member is None:
                complete = False
            else:
                found.setdefault(member, set()).add((project, queue))
        return [Group(member, member.driver, frozenset(queues)) for member, queues in found.items()], complete

    def _home(self, queue: str, project: Project) -> Member | None:
        name = self._catalog.pool_of(queue, project)
        if name is None:
            return None
        member = self._catalog.members.peek(name)
        if member.driver is None and member.outage is not None:
            return member  # its scout opens it: another attempt here might keep the other pools waiting
        try:
            return self._catalog.members.get(name)
        except errors.PoolUnavailable:
            return member
        except errors.PoolDoesNotExist:
            return None

    def _leave(self) -> None:
        single, self._single = self._single, None
        if single is not None:
            single.close()
        scouts, self._scouts = self._scouts, []
        for scout in scouts:
            scout.close()

    def _listen(self, timeout: float) -> bool:
        single = self._single
        if single is None:
            for scout in self._scouts:
                scout.go()
            return self._fired.wait(timeout)
        if self._fired.is_set():
            return True
        try:
            with self._groups[0].member:
                return single.wait(timeout)
        except errors.ConnectionError:
            self._leave()
            self._next_look = 0.0
            raise


class Scout:
    """Watches one pool in a thread of its own, and sets an event once something happens there."""

    def __init__(self, group: Group, catalog: Catalog, fired: threading.Event) -> None:
        self._group = group
        self._catalog = catalog
        self._fired = fired
        self._go = threading.Event()
        self._closing = threading.Event()
        self._watch: storage.Watch | None = None
        if group.driver is not None:
            try:
                # Before the thread runs: what is posted from now on counts.
                self._watch = group.watch(catalog)
            except errors.PoolUnavailable as error:
                logger.warning("%s Its queues are watched once it is back.", error)
        self._thread = threading.Thread(target=self._run, name=f"kombu_pool watch {group.member.name}", daemon=True)
        self._thread.start()

    def go(self) -> None:
        """Go on after the event was set: one that is set again and again while nobody waits would cost CPU."""
        self._go.set()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._go.set()
        watch = self._watch
        if watch is not None:
            watch.interrupt()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=_RETRY)
        if watch is not None:
            watch.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._go.wait()
            self._go.clear()
            while not self._closing.is_set():
                if self._turn():
                    self._fired.set()
                    break

    def _turn(self) -> bool:
        try:
            if self._watch is None:
                self._watch = self._group.watch(self._catalog)
                return True  # something may have come while the pool was down
            with self._group.member:
                return self._watch.wait(_TURN)
        except Exception as error:  # noqa: BLE001 - a thread that ends would leave its queues unwatched for good
            if not self._closing.is_set():
                logger.debug("Pool %s is watched again in %s s: %s", self._group.member.name, _RETRY, error)
            self._give_up()
            self._closing.wait(_RETRY)
            return False

    def _give_up(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            try:
                watch.close()
            except Exception:
                logger.debug("A watch could not be closed properly", exc_info=True)
