from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from kombu_pool import drivers
from kombu_pool.drivers.mongodb import read_ahead, scan_bounds, store
from kombu_pool.testing import ManualClock, QueueHandle
from tests.support.servers import mongodb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu_pool.storage import DataDriver

#: What our drivers ask a server.
COMMANDS = ("find", "aggregate", "count", "insert", "update", "delete", "findAndModify", "commitTransaction", "getMore")
KINDS = {"replica set": mongodb.fresh_uri, "standalone": mongodb.fresh_standalone_uri}


@pytest.fixture(params=KINDS)
def uri(request: pytest.FixtureRequest) -> str:
    """The URI of an empty store, of either kind."""
    return KINDS[request.param]()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slow machine believe for long what it saw of a queue, and ask no more than a quick one does."""
    monkeypatch.setattr(store, "_CACHE_TTL", 60.0)
    monkeypatch.setattr(store, "_CLAIM_CACHE_TTL", 60.0)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slow machine look everywhere, or for what is due, no more often than at first."""
    monkeypatch.setattr(scan_bounds, "_FULL_SCAN_INTERVAL", 1000.0)
    monkeypatch.setattr(scan_bounds, "_MIN_DUE_CHECK_INTERVAL", 1000.0)
    monkeypatch.setattr(scan_bounds, "_MAX_DUE_CHECK_INTERVAL", 1000.0)
    monkeypatch.setattr(read_ahead, "_TTL", 1000.0)
    monkeypatch.setattr(read_ahead, "_STREAK_INTERVAL", 1000.0)


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
    """The same queue by the hand of another process."""
    opened = drivers.open_data(uri, clock=clock)
    yield QueueHandle(opened, queue.name, queue.project)
    opened.close()


@pytest.fixture
def profiled(database: pymongo.database.Database) -> Callable[[Callable[[], Any]], list[dict[str, Any]]]:
    """Return what the server says of each command by which something was done."""

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
    """The database behind the driver's back."""
    with pymongo.MongoClient(uri) as client:
        yield client.get_default_database()


@pytest.fixture
def round_trips(database: pymongo.database.Database) -> Callable[[Callable[[], object]], int]:
    """Return how many commands the server was sent while something was done, but for those of its monitors."""

    def count() -> int:
        commands = database.command("serverStatus")["metrics"]["commands"]
        return sum(commands[name]["total"] for name in COMMANDS)

    def measure(action: Callable[[], object]) -> int:
        before = count()
        action()
        return count() - before

    return measure
