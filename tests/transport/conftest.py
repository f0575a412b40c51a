from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from kombu import Connection

import kombu_pool  # noqa: F401 - importing it is what makes pool:// known to Kombu
from kombu_pool import drivers
from kombu_pool.storage import ConsumersController
from kombu_pool.transport import broker
from kombu_pool.transport.consume.scheduler import Scheduler
from tests.support.limits import LIMIT
from tests.support.transport.child_programs import Programs
from tests.support.transport.stores import STORES, STORES_OF_ONE_PROCESS, Store
from tests.support.transport.traffic import declare, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kombu_pool.transport import Channel

Connect = "Callable[..., Connection]"


#: Modules whose tests start processes by themselves.
_OF_PROCESSES = {"test_exclusive_owners", "test_fork", "test_interrupts", "test_leaks"}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Store:
    module = request.module.__name__.rpartition(".")[2]
    starts_processes = "programs" in request.fixturenames or module in _OF_PROCESSES
    return (STORES if starts_processes else STORES_OF_ONE_PROCESS)[request.param]


@pytest.fixture
def url(store: Store, tmp_path: Path) -> str:
    """The broker URL of a new, empty store."""
    return f"pool+{store.uri(tmp_path)}"


@pytest.fixture(params=[name for name, store in STORES.items() if store.shared])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The broker URL of a new, empty store that processes share."""
    return f"pool+{STORES[request.param].uri(tmp_path)}"


@pytest.fixture(autouse=True)
def no_open_brokers() -> Iterator[None]:
    """Require that a test closes its connections: the threads of an open one would go on, and log, in later tests."""
    before = {*broker._shared._open}
    yield
    assert not {*broker._shared._open} - before


@pytest.fixture
def opened() -> Iterator[Callable[..., Connection]]:
    """Open connections: ``opened(url, **transport_options)``; they are closed after the test."""
    with ExitStack() as stack:

        def connect(url: str, **options: Any) -> Connection:
            connection = Connection(url, transport_options=options)
            stack.callback(connection.release)
            return connection

        yield connect


@pytest.fixture
def connect(url: str, opened: Callable[..., Connection]) -> Callable[..., Connection]:
    """Open connections to the store: ``connect(**transport_options)``."""
    return lambda **options: opened(url, **options)


@pytest.fixture
def connection(connect: Callable[..., Connection]) -> Connection:
    return connect()


@pytest.fixture
def channel(connection: Connection) -> Any:
    return connection.channel()


@pytest.fixture
def elsewhere(connect: Callable[..., Connection]) -> Connection:
    """A connection that shares only the store with the others, like one of another process."""
    return connect(ack_delay=0.003)


@pytest.fixture
def frequent_maintenance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for expired queues several times a second, in this process; by default a store waits for a second or two."""
    for scheme in ("sqlite", "redis", "mongodb"):
        drivers.load(scheme)
    for controller in (ConsumersController, *ConsumersController.__subclasses__()):
        monkeypatch.setattr(controller, "poll_interval", 0.3)


@pytest.fixture
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing but a wake-up end a fetcher's wait: a missing one fails the test, and a slow one does not."""
    monkeypatch.setattr(Scheduler, "MAX_WAIT", 10 * LIMIT)


@pytest.fixture
def programs() -> Iterator[Programs]:
    """Start other processes; those that still run after the test are killed."""
    started = Programs()
    yield started
    started.kill()


@pytest.fixture
def filled(channel: Channel) -> Channel:
    """A channel, with the messages a, b and c in the queue q."""
    declare(channel, "q")
    publish(channel, "q", "a", "b", "c")
    return channel
