"""Stores that a test of pooling can switch off and on."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

from kombu_pool import drivers, errors
from kombu_pool.pooling import open_pools

if TYPE_CHECKING:
    import pytest

    from kombu_pool.storage import DataDriver
    from kombu_pool.testing import ManualClock

_numbers = itertools.count()


class Stores:
    """The memory stores of one test, by short names, and the drivers that pooling opened on them."""

    def __init__(self, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = clock
        self.opened: list[SwitchableDriver] = []
        self._prefix = f"pooling-{os.getpid()}-{next(_numbers)}"
        self._down: dict[str, str] = {}
        monkeypatch.setattr(open_pools, "open_data", self._open)

    def uri(self, name: str) -> str:
        return f"memory://{self._prefix}-{name}"

    def leaf(self, name: str) -> DataDriver:
        """Open a store directly, without pooling, to inspect it."""
        return drivers.open_data(self.uri(name), clock=self.clock)

    def switch_off(self, name: str, reason: str = "connection refused") -> None:
        self._down[self.uri(name)] = reason

    def switch_on(self, name: str) -> None:
        del self._down[self.uri(name)]

    def opened_as(self, name: str) -> list[SwitchableDriver]:
        return [driver for driver in self.opened if driver.uri == self.uri(name)]

    def check(self, uri: str) -> None:
        if uri in self._down:
            raise errors.ConnectionError(self._down[uri])

    def is_down(self, uri: str) -> bool:
        return uri in self._down

    def _open(self, uri: str, **options: Any) -> Any:
        self.check(uri)
        driver = SwitchableDriver(self, uri, drivers.open_data(uri, **options))
        self.opened.append(driver)
        return driver


class SwitchableDriver:
    """A leaf driver whose store can be switched off."""

    def __init__(self, stores: Stores, uri: str, leaf: DataDriver) -> None:
        self.uri = uri
        self.closed = 0
        self._stores = stores
        self._leaf = leaf
        self.capabilities = leaf.capabilities
        self.dead_letter_hooks = leaf.dead_letter_hooks
        self.queue_controller = Switchable(stores, uri, leaf.queue_controller)
        self.message_controller = Switchable(stores, uri, leaf.message_controller)
        self.claim_controller = Switchable(stores, uri, leaf.claim_controller)
        self.subscription_controller = Switchable(stores, uri, leaf.subscription_controller)
        self.move_controller = Switchable(stores, uri, leaf.move_controller)

    def watch(self, queues: Any) -> Any:
        self._stores.check(self.uri)
        return Switchable(self._stores, self.uri, self._leaf.watch(queues), always={"close", "interrupt"})

    def part_of(self, queue: str, project: str | None = None) -> str | None:
        return self._leaf.part_of(queue, project)

    def is_alive(self) -> bool:
        return not self._stores.is_down(self.uri) and self._leaf.is_alive()

    def health(self) -> dict[str, Any]:
        if self._stores.is_down(self.uri):
            return {"storage_reachable": False}
        return self._leaf.health()

    def dead_letter_all(self) -> int:
        self._stores.check(self.uri)
        return self._leaf.dead_letter_all()

    def gc(self) -> int:
        self._stores.check(self.uri)
        return self._leaf.gc()

    def close(self) -> None:
        self.closed += 1
        self._stores.check(self.uri)
        self._leaf.close()


class Switchable:
    """A controller or watch of a store that can be switched off."""

    def __init__(self, stores: Stores, uri: str, target: Any, always: frozenset[str] | set[str] = frozenset()) -> None:
        self._stores = stores
        self._uri = uri
        self._target = target
        self._always = always

    @property
    def ready(self) -> Any:
        return self._target.ready

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if name not in self._always:
                self._stores.check(self._uri)
            return method(*arguments, **options)

        return call


def bodies(driver: Any, queue: str, project: str | None = None) -> list[Any]:
    """Return the bodies of a queue's messages, in order."""
    found = next(driver.message_controller.list(queue, project, limit=0, echo=True, include_claimed=True))
    return [message["body"] for message in found]


def post(driver: Any, queue: str, *bodies: Any, project: str | None = None) -> Any:
    """Post messages of these bodies."""
    return driver.message_controller.post(queue, [{"ttl": 600, "body": body} for body in bodies], None, project)
