from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.celery.brokers import BROKERS, Broker
from tests.celery.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts workers: all that is here."""
    for item in items:
        if "tests/celery/" in item.path.as_posix():
            item.add_marker(pytest.mark.celery)


@pytest.fixture(scope="session", params=BROKERS)
def make_broker(request: pytest.FixtureRequest) -> Callable[[Path], Broker]:
    """Make a broker in a new folder."""
    return BROKERS[request.param]


@pytest.fixture
def broker(make_broker: Callable[[Path], Broker], tmp_path: Path) -> Iterator[Broker]:
    """A broker of the test's own."""
    broker = make_broker(tmp_path)
    yield broker
    broker.close()


@pytest.fixture
def site(broker: Broker, tmp_path: Path) -> Iterator[Site]:
    """A site of the test's own."""
    site = Site(tmp_path, broker.url)
    yield site
    site.close()


@pytest.fixture(scope="module")
def shared_site(make_broker: Callable[[Path], Broker], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of the module's own."""
    folder = tmp_path_factory.mktemp("site")
    broker = make_broker(folder)
    site = Site(folder, broker.url)
    yield site
    site.close()
    broker.close()
