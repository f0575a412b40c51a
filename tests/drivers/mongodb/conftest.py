from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from kombu_pool import drivers
from kombu_pool.drivers.mongodb import cached_queue
from kombu_pool.model import ACTIVE
from kombu_pool.testing import ManualClock, QueueHandle
from tests.support.moving_programs import SOURCE, TARGET
from tests.support.servers import mongodb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu_pool.model import Assignment, Expiry
    from kombu_pool.storage import CatalogueController, ConsumersController, ControlDriver, DataDriver

#: The commands that our drivers send.
COMMANDS = (
    *("find", "aggregate", "count", "distinct", "insert", "update", "delete", "findAndModify"),
    *("commitTransaction", "getMore"),
)
KINDS = {"replica set": mongodb.fresh_uri, "standalone": mongodb.fresh_standalone_uri}


@pytest.fixture(params=KINDS)
def uri(request: pytest.FixtureRequest) -> str:
    """The URI of an empty store on each kind of server."""
    return KINDS[request.param]()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def long_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cached queues that stay fresh, so that a slow machine sends no more commands than a fast one."""
    monkeypatch.setattr(cached_queue, "POST_TTL", 60.0)
    monkeypatch.setattr(cached_queue, "CLAIM_TTL", 60.0)


@pytest.fixture
def rare_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full scans only at first, so that a slow machine makes no more than a fast one."""
    monkeypatch.setattr(cached_queue, "FULL_SCAN_INTERVAL", 1000.0)


@pytest.fixture
def driver(uri: str, clock: ManualClock) -> Iterator[DataDriver]:
    opened = drivers.open_data(uri, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def queue(driver: DataDriver) -> QueueHandle:
    made = QueueHandle(driver, "queue", "p")
    made.create()
    return made


@pytest.fixture
def other(queue: QueueHandle, uri: str, clock: ManualClock) -> Iterator[QueueHandle]:
    """The same queue with the caches of another process."""
    opened = drivers.open_data(uri, clock=clock)
    yield QueueHandle(opened, queue.name, queue.project)
    opened.close()


@pytest.fixture
def profiled(database: pymongo.database.Database) -> Callable[[Callable[[], Any]], list[dict[str, Any]]]:
    """Return a function that returns the server's profile of the commands of an action."""

    def profile(action: Callable[[], Any]) -> list[dict[str, Any]]:
        database.command("profile", 2)
        try:
            action()
        finally:
            database.command("profile", 0)
        found = [one for one in database["system.profile"].find() if "kombu_pool_" in one["ns"]]
        database.drop_collection("system.profile")
        return found

    return profile


@pytest.fixture
def database(uri: str) -> Iterator[pymongo.database.Database]:
    """The store's database, for direct access."""
    with pymongo.MongoClient(uri) as client:
        yield client.get_default_database()


@pytest.fixture
def round_trips(database: pymongo.database.Database) -> Callable[[Callable[[], object]], int]:
    """Return a function that counts the commands of an action, without those of PyMongo's monitors."""

    def count() -> int:
        commands = database.command("serverStatus")["metrics"]["commands"]
        return sum(commands[name]["total"] for name in COMMANDS)

    def measure(action: Callable[[], object]) -> int:
        before = count()
        action()
        return count() - before

    return measure


@pytest.fixture
def queues(driver: DataDriver) -> Callable[..., QueueHandle]:
    """Return a function that creates a queue with metadata."""

    def create(name: str, **metadata: Any) -> QueueHandle:
        made = QueueHandle(driver, name, "p")
        made.create(**metadata)
        return made

    return create


@pytest.fixture
def dlq(queues: Callable[..., QueueHandle]) -> QueueHandle:
    """A queue for dead letters."""
    return queues("dlq")


@pytest.fixture
def control(uri: str, clock: ManualClock) -> Iterator[ControlDriver]:
    driver = drivers.open_control(uri, clock=clock)
    for pool in ("a", "b"):
        driver.pools_controller.create(pool, 1, f"memory://{pool}")
    yield driver
    driver.close()


@pytest.fixture
def catalogue(control: ControlDriver) -> CatalogueController:
    return control.catalogue_controller


@pytest.fixture
def consumers(control: ControlDriver) -> ConsumersController:
    return control.consumers_controller


@pytest.fixture
def created(catalogue: CatalogueController) -> Callable[..., Assignment]:
    """Return a function that creates a queue in the catalogue, and returns its assignment."""

    def create(queue: str = "q", pool: str = "a", expiry: Expiry | None = None) -> Assignment:
        assigned, _ = catalogue.assign(None, queue, pool, lease=60)
        assert catalogue.activate(None, queue, assigned.incarnation, {"pool": pool}, expiry)
        return assigned._replace(state=ACTIVE)

    return create


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that runs an action before the next call of a method."""

    def arrange(owner: Any, name: str, action: Callable[[], object], *, after: int = 0) -> None:
        calls, original = iter(range(100)), getattr(owner, name)

        def step(*args: Any, **options: Any) -> Any:
            if next(calls) == after:
                action()
            return original(*args, **options)

        monkeypatch.setattr(owner, name, step)

    return arrange


@pytest.fixture
def source(driver: DataDriver) -> QueueHandle:
    """A queue that is about to be moved."""
    driver.queue_controller.create(SOURCE, {}, incarnation="present")
    return QueueHandle(driver, SOURCE, None)


@pytest.fixture
def target(driver: DataDriver) -> QueueHandle:
    """The queue that it moves to."""
    driver.queue_controller.create(TARGET, {}, incarnation="opened")
    return QueueHandle(driver, TARGET, None)


@pytest.fixture
def another(uri: str, clock: ManualClock) -> Iterator[QueueHandle]:
    """The source with the caches of another process."""
    opened = drivers.open_data(uri, clock=clock)
    yield QueueHandle(opened, SOURCE, None)
    opened.close()
