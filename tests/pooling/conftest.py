from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu_pool import drivers
from kombu_pool.pooling import DataDriver, queue_lives
from kombu_pool.testing import ManualClock
from kombu_pool.testing.handles import QueueHandle
from tests.support.pooling.switchable_stores import Stores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu_pool.storage import ControlDriver


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stores(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Stores:
    return Stores(clock, monkeypatch)


@pytest.fixture
def control(stores: Stores, clock: ManualClock) -> Iterator[ControlDriver]:
    driver = drivers.open_control(stores.uri("control"), clock=clock)
    yield driver
    driver.close()


@pytest.fixture
def empty(control: ControlDriver, clock: ManualClock) -> Iterator[DataDriver]:
    """Pooling over a control store without pools."""
    driver = DataDriver(None, None, control, clock=clock)
    yield driver
    driver.close()


@pytest.fixture
def pooled(empty: DataDriver, stores: Stores) -> DataDriver:
    """Pooling over the pools a and b of equal weight, and f of the flavor fast."""
    empty.control.flavors_controller.create("fast")
    for name in ("a", "b"):
        empty.control.pools_controller.create(name, 100, stores.uri(name))
    empty.control.pools_controller.create("f", 100, stores.uri("f"), "fast")
    return empty


@pytest.fixture
def populated(pooled: DataDriver) -> DataDriver:
    """Pooling with the queue of-a in pool a, and of-b in pool b."""
    for name in ("a", "b"):
        pooled.control.catalogue_controller.insert(None, f"of-{name}", name)
        pooled.queue_controller.create(f"of-{name}")
    return pooled


@pytest.fixture
def queue(populated: DataDriver) -> QueueHandle:
    """The queue in pool a."""
    return QueueHandle(populated, "of-a", None)


@pytest.fixture
def other(populated: DataDriver, clock: ManualClock) -> Iterator[QueueHandle]:
    """The same queue as another process knows it: in its cache since before all that happens."""
    driver = DataDriver(None, None, populated.control, clock=clock)
    driver.catalog.route("of-a")
    yield QueueHandle(driver, "of-a", None)
    driver.close()


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no process wait for another one that moves a queue."""
    monkeypatch.setattr(queue_lives, "_FIRST_WAIT", 0.0)
