"""The fixtures of the suite; :mod:`kombu_pool.testing.plugin` gives them the stores."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from kombu_pool import drivers, errors
from kombu_pool.testing.backend import Backend
from kombu_pool.testing.clock import ManualClock
from kombu_pool.testing.handles import QueueHandle
from kombu_pool.testing.moves import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kombu_pool.model import Project
    from kombu_pool.storage import ControlDriver, DataDriver, MoveController
    from kombu_pool.testing.stores import Store


#: The reason for which the tests of the control plane are skipped.
NO_CONTROL = "no Store of STORES has control=True"


class MakeQueue(Protocol):
    """Creates queues: ``queues(name, project, **metadata)``."""

    def __call__(self, name: str, project: Project = None, **metadata: Any) -> QueueHandle:
        """Create a queue."""
        ...


@pytest.fixture
def clock() -> ManualClock:
    """The clock of every driver of the test."""
    return ManualClock()


@pytest.fixture
def backend(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Backend]:
    """Each store."""
    yield from _open(request.param, "STORES is empty", tmp_path, clock)


@pytest.fixture
def leaf(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Backend]:
    """Each store without pooling, for what only a store promises."""
    yield from _open(request.param, "no Store of STORES is without pools", tmp_path, clock)


@pytest.fixture
def both_planes(control_store: Store | None, tmp_path: Path, clock: ManualClock) -> Iterator[Backend]:
    """Each store that can be the control store, too."""
    yield from _open(control_store, NO_CONTROL, tmp_path, clock)


@pytest.fixture
def compared(request: pytest.FixtureRequest) -> Store:
    """Each store but the memory store."""
    store: Store | None = request.param
    return store or pytest.skip("STORES has the memory store only")


@pytest.fixture
def driver(backend: Backend) -> DataDriver:
    """A driver of each store."""
    return backend.driver


@pytest.fixture
def queues(driver: DataDriver) -> MakeQueue:
    """Creates queues of each store."""

    def make(name: str, project: Project = None, **metadata: Any) -> QueueHandle:
        driver.queue_controller.create(name, metadata, project)
        return QueueHandle(driver, name, project)

    return make


@pytest.fixture
def queue(queues: MakeQueue) -> QueueHandle:
    """An empty queue."""
    return queues("queue")


@pytest.fixture
def dlq(queues: MakeQueue) -> QueueHandle:
    """An empty queue for dead letters."""
    return queues("dlq")


@pytest.fixture
def origin(queues: MakeQueue, dlq: QueueHandle) -> QueueHandle:
    """A queue whose rejected and expired messages go to ``dlq``."""
    return queues("origin", _dead_letter_queue=dlq.name, _dead_letter_expired=True)


@pytest.fixture
def absent(driver: DataDriver) -> QueueHandle:
    """A queue that was never created."""
    return QueueHandle(driver, "absent", None)


@pytest.fixture
def control_store(request: pytest.FixtureRequest) -> Store | None:
    """Each store that can be the control store, or None if there is none."""
    store: Store | None = request.param
    return store


@pytest.fixture
def control_uri(control_store: Store | None, tmp_path: Path) -> str:
    """The URI of each control store."""
    return control_store.uri(tmp_path, "control") if control_store else pytest.skip(NO_CONTROL)


@pytest.fixture
def control(control_uri: str, clock: ManualClock) -> Iterator[ControlDriver]:
    """A driver of each control store."""
    with closing(drivers.open_control(control_uri, clock=clock)) as driver:
        yield driver


def _open(store: Store | None, absence: str, folder: Path, clock: ManualClock) -> Iterator[Backend]:
    if store is None:
        pytest.skip(absence)
    with closing(Backend(store, folder, clock)) as opened:
        yield opened


@pytest.fixture
def movable(leaf: Backend) -> DataDriver:
    """A driver of each store that can move queues."""
    driver = leaf.driver
    driver.queue_controller.create("probe", incarnation="probe")
    try:
        driver.move_controller.set_epoch("probe", incarnation="probe", epoch=1)
    except errors.NotPermitted as error:
        pytest.skip(str(error))
    return driver


@pytest.fixture
def moves(movable: DataDriver) -> MoveController:
    """What it does for moves."""
    return movable.move_controller


@pytest.fixture
def source(movable: DataDriver) -> QueueHandle:
    """A queue that is about to be moved."""
    movable.queue_controller.create("source", {}, PROJECT, incarnation="present")
    return QueueHandle(movable, "source", PROJECT)


@pytest.fixture
def target(movable: DataDriver) -> QueueHandle:
    """A queue that stores the batches of epoch 1."""
    movable.queue_controller.create("target", {}, PROJECT, incarnation="opened")
    movable.move_controller.set_epoch("target", PROJECT, incarnation="opened", epoch=1)
    return QueueHandle(movable, "target", PROJECT)
