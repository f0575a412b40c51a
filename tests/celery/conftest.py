from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.celery.brokers import BROKERS
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
def broker(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Make the URL of a new broker."""
    return BROKERS[request.param]


@pytest.fixture
def site(broker: Callable[[Path], str], tmp_path: Path) -> Iterator[Site]:
    """A broker of the test's own."""
    site = Site(tmp_path, broker(tmp_path))
    yield site
    site.close()


@pytest.fixture(scope="module")
def shared_site(broker: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A broker of the module's own."""
    folder = tmp_path_factory.mktemp("site")
    site = Site(folder, broker(folder))
    yield site
    site.close()
