"""One control store, two pools and one queue, and the operations of processes on it, each call a step."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

from kombu_pool import drivers, errors
from kombu_pool.drivers import memory
from kombu_pool.drivers.memory import shared
from kombu_pool.model import ACTIVE, Expiry
from kombu_pool.pooling import DataDriver, open_pools, pool_choice, queue_lives
from tests.support.model.history import ABSENT, Action, History, Queue
from tests.support.model.schedules import Process, Schedule, Stepwise

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from typing_extensions import Self

    from kombu_pool.model import Assignment
    from kombu_pool.storage import ControlDriver
    from kombu_pool.testing import ManualClock

QUEUE = "q"
EXCHANGE = "x"
POOLS = ("a", "b")
#: Shorter than the time for which a process caches an assignment.
LIFETIME = 5.0
_DATA = ("queue_controller", "message_controller", "claim_controller", "subscription_controller", "move_controller")
_CONTROL = (
    "queue_controller", "pools_controller", "flavors_controller", "catalogue_controller", "bindings_controller",
    "consumers_controller",
)  # fmt: skip


def _memory_uri(name: str) -> str:
    return f"memory://model-{name}"


class _Stepwise:
    """A driver with stepwise controllers."""

    def __init__(self, driver: Any, controllers: tuple[str, ...]) -> None:
        self._driver = driver
        for name in controllers:
            setattr(self, name, Stepwise(getattr(driver, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)


class World:
    """The stores of one run, opened by each process for itself."""

    def __init__(
        self, uri: Callable[[str], str], clock: ManualClock, operations: type[Operations] | None = None
    ) -> None:
        self.clock = clock
        self._operations = operations or Operations
        self._processes = itertools.count()
        self._opened: list[DataDriver] = []
        self.history = History()
        self.schedule = Schedule([])
        self._uri = uri
        _choices.restart()
        self.control: ControlDriver = drivers.open_control(uri("control"), clock=clock)
        for pool in POOLS:
            self.control.pools_controller.create(pool, 100, uri(pool))
        self.control.bindings_controller.create_exchange(EXCHANGE, "direct")
        self.start = ABSENT

    @classmethod
    def in_memory(cls, clock: ManualClock, operations: type[Operations] | None = None) -> Self:
        for name in ("control", *POOLS):
            shared._stores.pop(f"model-{name}", None)
        return cls(_memory_uri, clock, operations)

    def process(self) -> Operations:
        """Return the operations of a new process."""
        driver = DataDriver(None, None, _Stepwise(self.control, _CONTROL), clock=self.clock)
        # Counting is no step of a queue's life; a thread for each of a hundred thousand processes is one too many.
        driver.catalog.counters.close()
        self._opened.append(driver)
        return self._operations(self, driver, next(self._processes))

    def close(self) -> None:
        """Close what the processes opened."""
        for driver in self._opened:
            driver.close()
        self.control.close()

    def run(self, schedule: Schedule, works: list[tuple[Callable[[], None], int | None]]) -> None:
        """Run some work, each with the number of steps after which its process stops, or None."""
        self.schedule = schedule
        schedule.run([Process(work, stops_after) for work, stops_after in works])

    def settle(self) -> None:
        """Do what the processes that go on would do in time: end deletions, and delete what expired."""
        data = DataDriver(None, None, self.control, clock=self.clock)
        data.catalog.counters.close()
        self.clock.advance(queue_lives.CREATION_LEASE + 1)
        due = self.control.consumers_controller.expired_queues()
        was_declared = self._has_record()
        expired = [data.queue_controller.expire(queue, project) for project, queue in due]
        step = self.schedule.step + 1
        self.history.actions.append(Action("expire", first=step, last=step, answer=was_declared and True in expired))
        data.queue_controller.end_deletions()
        data.close()

    def _has_record(self) -> bool:
        """Return whether the queue was declared; it may have expired since."""
        return any(found["name"] == QUEUE for found in next(self.control.queue_controller.list(limit=0)))

    def faults(self) -> list[str]:
        """Return what is wrong now."""
        found = self.control.catalogue_controller.find(None, QUEUE)
        declared = self.control.queue_controller.exists(QUEUE)
        held = {pool: self._leaf(pool) for pool in POOLS}
        faults = [
            f"the catalogue names no queue in pool {pool}"
            for pool in POOLS
            if held[pool] is not None and (found is None or found.pool != pool)
        ]
        is_ready = found is not None and (found.state == ACTIVE or self._operations is not Operations)
        if declared and (found is None or not is_ready or held.get(found.pool) is None):
            faults.append("declared, and in no pool")
        if found is not None and not declared:
            faults.append(f"assigned, and not declared: {found.state}")
        end = self._end(declared, found, held)
        if not faults and not self.history.explains(self.start, end):
            faults.append(f"no order explains {end}: {self.history.actions}")
        return faults

    def _end(self, declared: bool, found: Assignment | None, held: dict[str, frozenset[str] | None]) -> Queue:
        if not declared or found is None:
            return ABSENT
        consumers = self.control.consumers_controller
        holders = [name for name in ("x", "y", "z") if consumers.count(QUEUE) and name in self._holders()]
        is_bound = bool(self.control.bindings_controller.list(EXCHANGE))
        return Queue(True, held.get(found.pool) or frozenset(), frozenset(holders), is_bound)

    def _holders(self) -> set[str]:
        """Return the subjects of the consumers that are attached: those whose removal changes the count."""
        consumers = self.control.consumers_controller
        attached = set()
        for name in ("x", "y", "z"):
            before = consumers.count(QUEUE)
            consumers.remove_holders([name])
            if consumers.count(QUEUE) < before:
                attached.add(name)
                consumers.add_holder(QUEUE, name, 10**6)
        return attached

    def _leaf(self, pool: str) -> frozenset[str] | None:
        """Return the messages in the queue of a pool, in any state; None if there is no such queue."""
        driver = drivers.open_data(self._uri(pool), clock=self.clock)
        try:
            driver.queue_controller.get(QUEUE)
            listed = next(driver.message_controller.list(QUEUE, limit=0, echo=True, include_claimed=True))
            return frozenset(message["body"] for message in listed)
        except errors.QueueDoesNotExist:
            return None
        finally:
            driver.close()


class Operations:
    """What one process does. Each method is an action of the history."""

    def __init__(self, world: World, driver: DataDriver, number: int) -> None:
        self._world = world
        self.driver = driver
        self.number = number
        #: The queue's pool as this process knows it.
        self.cached: str | None = None

    def _act(self, name: str, call: Callable[[], Any], subject: str = "") -> Any:
        schedule = self._world.schedule
        action = Action(name, subject, first=schedule.step + 1)
        self._world.history.actions.append(action)
        self.action = action
        action.answer = call()
        action.last = schedule.step
        return action.answer

    def declare(self, expiry: Expiry | None = None) -> bool:
        created: bool = self._act("declare", lambda: self.driver.queue_controller.create(QUEUE, expiry=expiry))
        return created

    def post(self, body: str) -> bool:
        def call() -> bool:
            try:
                self.driver.message_controller.post(QUEUE, [{"ttl": 0, "body": body}], None)
            except errors.QueueDoesNotExist:
                return False
            return True

        stored: bool = self._act("post", call, body)
        return stored

    def consume(self) -> None:
        def call() -> frozenset[str]:
            claim, messages = self.driver.claim_controller.create(QUEUE, {"ttl": 10**6, "grace": 0})
            self.action.answer = frozenset(message["body"] for message in messages)
            pairs = [(message["id"], claim or "") for message in messages]
            refused = self.driver.message_controller.delete_claimed(QUEUE, pairs) if pairs else []
            return frozenset(message["body"] for message in messages if (message["id"], claim) not in refused)

        self._act("consume", call)

    def delete(self) -> None:
        self._act("delete", lambda: self.driver.queue_controller.delete(QUEUE))

    def expire(self) -> None:
        def call() -> bool:
            due = self.driver.control.consumers_controller.expired_queues()
            return True in [self.driver.queue_controller.expire(queue, project) for project, queue in due]

        self._act("expire", call)

    def attach(self, holder: str) -> str | None:
        """Attach a consumer; return the incarnation that it consumes."""
        known: list[str] = []

        def call() -> bool:
            catalog = self.driver.catalog
            incarnation = catalog.route(QUEUE).incarnation
            while not (incarnation and self._add(holder, incarnation)):
                try:
                    _, incarnation = catalog.lives.current(QUEUE, None, None)
                except errors.QueueDoesNotExist:
                    return False
            known.append(incarnation)
            return True

        return known[0] if self._act("attach", call, holder) else None

    def _add(self, holder: str, incarnation: str) -> bool:
        consumers = self.driver.control.consumers_controller
        return consumers.add_holder(QUEUE, holder, 10**6, incarnation=incarnation)

    def bind(self) -> bool:
        def call() -> bool:
            catalog = self.driver.catalog
            incarnation = catalog.route(QUEUE).incarnation
            while not (incarnation and self._bind(incarnation)):
                try:
                    _, incarnation = catalog.lives.current(QUEUE, None, None)
                except errors.QueueDoesNotExist:
                    return False
            return True

        bound: bool = self._act("bind", call)
        return bound

    def _bind(self, incarnation: str) -> bool:
        try:
            self.driver.control.bindings_controller.bind(EXCHANGE, QUEUE, "key", incarnation=incarnation)
        except errors.QueueDoesNotExist:
            return False
        return True

    def leave(self, holder: str, incarnation: str | None) -> None:
        """Detach the consumer of an auto-delete queue."""
        self._act("detach", lambda: self.driver.control.consumers_controller.remove_holders([holder]), holder)
        expire = self.driver.queue_controller.expire
        self._act("expire_unused", lambda: expire(QUEUE, unused=incarnation or "never"))


def stepwise_pools(patch: pytest.MonkeyPatch) -> None:
    """Open the pools of processes stepwise, and let no process wait for another that creates a queue."""
    # The worlds in memory open the same few stores again and again.
    patch.setattr(drivers, "parse", functools.cache(drivers.parse))
    located = functools.cache(lambda text: shared.locate(drivers.parse(text), {}, None))
    patch.setattr(
        memory,
        "open_data",
        lambda uri, *, clock, dead_letter_hooks, **_: memory.DataDriver(located(uri.text), clock, dead_letter_hooks),
    )
    opened = open_pools.open_data
    patch.setattr(open_pools, "open_data", lambda *args, **kwargs: _Stepwise(opened(*args, **kwargs), _DATA))
    patch.setattr(queue_lives, "_CREATION_TIMEOUT", 0.0)
    patch.setattr(pool_choice, "choose_weighted", _choices)
    # Also a queue with an expiry is drawn, so that its lives are in different pools.
    patch.setattr(pool_choice.PoolChoice, "_is_control_store_a_pool", lambda _: False)


class _Choices:
    """Chooses each pool in its turn: two processes that assign a queue choose different ones, the same in each run."""

    def restart(self) -> None:
        self._numbers = itertools.count()

    def __call__(self, rows: list[Any]) -> Any:
        return rows[next(self._numbers) % len(rows)]


_choices = _Choices()
