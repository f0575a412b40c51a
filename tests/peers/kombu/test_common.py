"""Kombu's own integration tests that are common to all transports, over each store, and over RabbitMQ where it is.

What one of them shows on ``amqp://`` it shows on ``pool://``, too.
"""

from __future__ import annotations

import importlib.util
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from kombu import Connection

import kombu_pool  # noqa: F401 - importing it is what makes pool:// known to Kombu
from tests.support.conformance.stores import STORES
from tests.support.peers import sources
from tests.support.servers import rabbitmq

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMON = sources.folder("kombu") / "t/integration/common.py"
if not _COMMON.exists():
    # Skipped by "make test" only: "make peers" fetches it.
    pytest.skip("Kombu's tests are not here; make peers fetches them", allow_module_level=True)

_spec = importlib.util.spec_from_file_location("kombu_integration_common", _COMMON)
common = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(common)

#: Kind of a broker -> a URL of its kind where nothing listens.
DEAD = {
    "sqlite": "pool+redis://127.0.0.1:1",
    "redis": "pool+redis://127.0.0.1:1",
    "mongodb": "pool+mongodb://127.0.0.1:1",
    "amqp": "pyamqp://127.0.0.1:1",
}
TESTS = (
    "BasicFunctionality",
    "BaseExchangeTypes",
    "BaseTimeToLive",
    "BasePriority",
    "BaseMessage",
    "BaseEventLoop",
    "BaseFailover",
)


@pytest.fixture(scope="class")
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a broker of the kind that the class of the test is about."""
    kind = request.cls.kind
    if kind == "amqp":
        if not rabbitmq.program():
            pytest.skip("RabbitMQ is not installed")
        return rabbitmq.shared_broker().url
    # Without its query, which an alternate cannot have.
    return f"pool+{STORES[kind].uri(tmp_path_factory.mktemp(kind), 'store')}".partition("?")[0]


class DrainingConnection(Connection):
    """A connection whose ``drain_events`` delivers all that is ready.

    The tests of priorities drain once for three messages: py-amqp has read the others by then, and delivers them while
    it waits for the answer to its ``basic.cancel``. In Kombu's tests of Redis these tests drain once for each message.
    """

    def drain_events(self, **options: float) -> None:
        super().drain_events(**options)
        with suppress(TimeoutError):
            while True:
                super().drain_events(timeout=0.1)


@pytest.fixture
def connection(request: pytest.FixtureRequest, url: str) -> Iterator[Connection]:
    is_draining = request.cls.kind != "amqp" and issubclass(request.cls, common.BasePriority)
    with (DrainingConnection if is_draining else Connection)(url) as connection:
        yield connection


@pytest.fixture
def failover_connection(request: pytest.FixtureRequest, url: str) -> Iterator[Connection]:
    # Of a URL whose scheme has a plus Kombu reads no port, which one test asks for before it connects.
    first = DEAD["amqp" if request.node.name == "test_failover_switches_to_alternate_url" else request.cls.kind]
    with Connection(f"{first};{url}") as connection:
        yield connection


@pytest.fixture
def invalid_connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    with Connection(DEAD[request.cls.kind]) as connection:
        yield connection


def over(kind: str, tests: str) -> type:
    """Return one of Kombu's classes over a kind of broker, which the fixtures read from it."""
    return type(f"Test{tests.removeprefix('Base')}_{kind}", (getattr(common, tests),), {"kind": kind})


# pytest collects the classes that are attributes of the module.
globals().update({made.__name__: made for made in (over(kind, tests) for kind in DEAD for tests in TESTS)})
