"""Runs every test here over every store. To add a store, add an entry to ``STORES``, and to ``CONTROL_STORES``."""

from __future__ import annotations

import itertools
import os
import sqlite3
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool import drivers
from kombu_pool.clock import ManualClock
from tests.conformance.handles import QueueHandle
from tests.support.servers import mongodb
from tests.support.servers.redis_shared import fresh_cluster_uri, fresh_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kombu_pool.model import Project
    from kombu_pool.storage import ControlDriver, DataDriver

#: A byte that MessagePack never uses.
BROKEN = b"\xc1"
_numbers = itertools.count()


@dataclass(frozen=True)
class Store:
    """A kind of store.

    ``uri`` makes the URI of a new, empty one out of a folder and a name. ``corrupt`` breaks the record of a message,
    given the store's URI, the project, the queue and the message's id. ``pools``: how many of them pooling is over.
    """

    uri: Callable[[Path, str], str]
    corrupt: Callable[[str, Project, str, str], None]
    pools: int = 0


def _memory_uri(folder: Path, name: str) -> str:
    return f"memory://conformance-{os.getpid()}-{next(_numbers)}-{name}"


def _corrupt_memory(uri: str, project: Project, queue: str, message_id: str) -> None:
    from kombu_pool.drivers.memory import data_store, name_of  # noqa: PLC0415 - only where it is tested

    queues = data_store(name_of(drivers.parse(uri))).queues
    queues[project, queue].backlog.messages[message_id].record = BROKEN


def _sqlite_uri(folder: Path, name: str) -> str:
    return f"sqlite:///{folder / name}.db"


def _corrupt_sqlite(uri: str, project: Project, queue: str, message_id: str) -> None:
    connection = sqlite3.connect(drivers.parse(uri).path.replace("//", "/"))
    with connection:
        changed = connection.execute("UPDATE message SET record = ? WHERE id = ?", (BROKEN, int(message_id))).rowcount
    connection.close()
    assert changed == 1


def _redis_uri(folder: Path, name: str) -> str:
    return fresh_uri()


def _redis_cluster_uri(folder: Path, name: str) -> str:
    return fresh_cluster_uri()


def _corrupt_redis(uri: str, project: Project, queue: str, message_id: str) -> None:
    import redis  # noqa: PLC0415 - only where it is tested

    from kombu_pool.drivers.redis.keys import queue_keys  # noqa: PLC0415

    parsed = drivers.parse(uri)
    prefix = parsed.options.get("key_prefix", "kombu-pool")
    address = f"redis://{parsed.authority.split(',')[0]}{parsed.path}"
    client = redis.RedisCluster if parsed.scheme == "redis+cluster" else redis.Redis
    with client.from_url(address) as store:
        records, message = queue_keys(prefix, project, queue).records, bytes.fromhex(message_id)
        # When it was posted, its ttl and the length of its head stay.
        store.hset(records, message, store.hget(records, message)[:16] + b"\0\0" + BROKEN)


def _mongodb_uri(folder: Path, name: str) -> str:
    return mongodb.fresh_uri()


def _standalone_mongodb_uri(folder: Path, name: str) -> str:
    return mongodb.fresh_standalone_uri()


def _corrupt_mongodb(uri: str, project: Project, queue: str, message_id: str) -> None:
    import pymongo  # noqa: PLC0415 - only where it is tested

    with pymongo.MongoClient(uri) as client:
        messages = client.get_default_database()["kombu_pool_messages"]
        changed = messages.update_one({"_id": bytes.fromhex(message_id), "q": queue}, {"$set": {"b": BROKEN}})
    assert changed.modified_count == 1


STORES = {
    "memory": Store(_memory_uri, _corrupt_memory),
    "sqlite": Store(_sqlite_uri, _corrupt_sqlite),
    "redis": Store(_redis_uri, _corrupt_redis),
    "redis-cluster": Store(_redis_cluster_uri, _corrupt_redis),
    "mongodb": Store(_mongodb_uri, _corrupt_mongodb),
    "mongodb-standalone": Store(_standalone_mongodb_uri, _corrupt_mongodb),
    "pooled-memory": Store(_memory_uri, _corrupt_memory, pools=4),
    "pooled-sqlite": Store(_sqlite_uri, _corrupt_sqlite, pools=4),
    "pooled-redis": Store(_redis_uri, _corrupt_redis, pools=4),
    "pooled-mongodb": Store(_mongodb_uri, _corrupt_mongodb, pools=4),
}
# The control plane asks nothing of a MongoDB that a standalone server cannot do.
CONTROL_STORES = ["memory", "sqlite", "redis", "redis-cluster", "mongodb"]


class Backend:
    """A store under test: a driver for it, and what a test must do behind the driver's back."""

    def __init__(self, store: Store, folder: Path, clock: ManualClock) -> None:
        self.clock = clock
        self.pools = [store.uri(folder, f"pool-{number}") for number in range(store.pools)]
        self.uri = store.uri(folder, "store")
        self._store = store
        self._open = ExitStack()
        self._control: ControlDriver | None = self._new_control() if store.pools else None
        self.driver = self.another()

    def another(self) -> DataDriver:
        """Open one more driver on the same store, as another process would."""
        if self._control is None:
            driver = drivers.open_data(self.uri, clock=self.clock)
        else:
            from kombu_pool.pooling import DataDriver  # noqa: PLC0415 - only where it is tested

            driver = DataDriver(None, None, self._control, clock=self.clock)
        self._open.callback(driver.close)
        return driver

    def place(self, queue: str, pool: int, project: Project = None) -> None:
        """Let the queue live in that pool, where there are several."""
        if self._control is not None:
            self._control.catalogue_controller.insert(project, queue, f"pool-{pool}")

    def corrupt(self, queue: str, message_id: str, project: Project = None) -> None:
        """Break the record of a message."""
        uri = self.uri
        if self._control is not None:
            pool = self._control.catalogue_controller.get(project, queue)["pool"]
            uri = self._control.pools_controller.get(pool)["uri"]
        self._store.corrupt(uri, project, queue, message_id)

    def close(self) -> None:
        self._open.close()

    def _new_control(self) -> ControlDriver:
        control = drivers.open_control(self.uri, clock=self.clock)
        self._open.callback(control.close)
        for number, uri in enumerate(self.pools):
            control.pools_controller.create(f"pool-{number}", 100, uri)
        return control


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=STORES)
def backend(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Backend]:
    opened = Backend(STORES[request.param], tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture(params=[name for name, store in STORES.items() if not store.pools])
def leaf(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Backend]:
    """A store without pooling, for what only a store promises."""
    opened = Backend(STORES[request.param], tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture(params=CONTROL_STORES)
def both_planes(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Backend]:
    """A store without pooling that can be a control store, too."""
    opened = Backend(STORES[request.param], tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture
def driver(backend: Backend) -> DataDriver:
    return backend.driver


@pytest.fixture
def queues(driver: DataDriver) -> Callable[..., QueueHandle]:
    """Make queues: ``queues(name, project, **metadata)``."""

    def make(name: str, project: Project = None, **metadata: Any) -> QueueHandle:
        driver.queue_controller.create(name, metadata, project)
        return QueueHandle(driver, name, project)

    return make


@pytest.fixture
def queue(queues: Callable[..., QueueHandle]) -> QueueHandle:
    """An empty queue."""
    return queues("queue")


@pytest.fixture
def absent(driver: DataDriver) -> QueueHandle:
    """A queue that nobody created."""
    return QueueHandle(driver, "absent", None)


@pytest.fixture(params=CONTROL_STORES)
def control_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return STORES[request.param].uri(tmp_path, "control")


@pytest.fixture
def control(control_uri: str, clock: ManualClock) -> Iterator[ControlDriver]:
    driver = drivers.open_control(control_uri, clock=clock)
    yield driver
    driver.close()
