from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.celery.brokers import BROKERS, Broker
from tests.support.celery.posts import GroupClock, Posts
from tests.support.celery.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Broker -> the modules whose tests run over it, if not all: those where stores differ, at an acceptable cost.
_WHERE_STORES_DIFFER = {
    "test_eta",
    "test_groups",
    "test_lazy_groups",
    "test_leases",
    "test_lost_queues",
    "test_outages",
    "test_pools",
    "test_remote_control",
}
ONLY_IN = {
    # The tests of the transport renew claims over a cluster; a worker adds nothing of the store's there.
    "redis-cluster": _WHERE_STORES_DIFFER - {"test_leases"},
    "mongodb": _WHERE_STORES_DIFFER,
}
#: Modules whose tests run over the first broker only: the store makes no difference.
ANY_BROKER = {"test_event_loop", "test_worker_options"}


#: Worker pools of ``test_pools`` that run over some brokers only. They replace nothing of the client libraries, as the
#: pools of green threads do, and fork nothing, as prefork does: what the store adds is shown by these.
POOLS_OVER_FEW = {"solo", "threads"}
FEW = {"sqlite", "redis"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, which start workers; deselect those of pools that run over few brokers."""
    ours = [item for item in items if "tests/celery/" in item.path.as_posix()]
    for item in ours:
        item.add_marker(pytest.mark.celery)
    left_out = {item for item in ours if item.path.name == "test_pools.py" and _is_left_out(item)}
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=[*left_out])


def _is_left_out(item: pytest.Item) -> bool:
    parameters = item.callspec.params
    return parameters["worker"] in POOLS_OVER_FEW and parameters["make_broker"] not in FEW


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test over every broker, the slower ones in a few modules only."""
    if "make_broker" in metafunc.fixturenames:
        module = metafunc.module.__name__.rpartition(".")[2]
        names = [name for name in BROKERS if module in ONLY_IN.get(name, {module})]
        chosen = names[:1] if module in ANY_BROKER else names
        metafunc.parametrize("make_broker", chosen, indirect=True, scope="session")


@pytest.fixture(scope="session")
def make_broker(request: pytest.FixtureRequest) -> Callable[[Path], Broker]:
    """Return a function that makes a broker in a new folder."""
    return BROKERS[request.param]


@pytest.fixture
def broker(make_broker: Callable[[Path], Broker], tmp_path: Path) -> Iterator[Broker]:
    """A private broker of the test."""
    broker = make_broker(tmp_path)
    yield broker
    broker.close()


@pytest.fixture
def site(broker: Broker, tmp_path: Path) -> Iterator[Site]:
    """A private site of the test."""
    site = Site(tmp_path, broker.url)
    yield site
    site.close()


@pytest.fixture(scope="module")
def shared_site(make_broker: Callable[[Path], Broker], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that the tests of a module share."""
    folder = tmp_path_factory.mktemp("site")
    broker = make_broker(folder)
    site = Site(folder, broker.url)
    yield site
    site.close()
    broker.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> GroupClock:
    return GroupClock(monkeypatch)


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch, clock: GroupClock) -> Posts:
    """The posts of this process; the time that passes makes no difference to them."""
    return Posts(monkeypatch)
