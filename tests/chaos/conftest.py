"""The chaos scenarios: each test is one, runs over each store, and counts events that ``make chaos`` prints."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.celery.site import Site
from tests.support.chaos.report import COUNTS, NAME, WHERE, Report
from tests.support.chaos.scale import SEED, SMALL, SMOKE, SMOKE_STORE, STORE, Scale, is_full
from tests.support.chaos.scheduling import GroupScheduling
from tests.support.chaos.stores import STORES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.celery.brokers import Broker

_SEED = int(os.environ.get(SEED) or (random.SystemRandom().randrange(10**6) if is_full() else 1))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scenario(name, *stores): its name in make chaos, and its stores")
    if is_full() and not hasattr(config, "workerinput"):
        os.environ[SEED] = str(_SEED)  # for the processes that run the scenarios
        config.pluginmanager.register(Report(config, f"{SEED}={_SEED}"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each scenario over the stores where it makes sense, or over the selected one."""
    scenario = metafunc.definition.get_closest_marker("scenario")
    if scenario is None:
        return
    selected = os.environ.get(STORE) if is_full() else SMOKE_STORE
    if selected and selected not in STORES:
        raise pytest.UsageError(f"{STORE} must be one of {', '.join(STORES)}, not {selected!r}")
    stores = [store for store in (scenario.args[1:] or STORES) if selected in (None, "", store)]
    metafunc.parametrize("store", stores if is_full() or scenario.args[0] in SMOKE else [])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling | None:
    return GroupScheduling(config, log) if is_full() else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect scenarios without a store in this run."""
    deselected = [item for item in items if item.get_closest_marker("scenario") and _store_of(item) is None]
    items[:] = [item for item in items if item not in deselected]
    config.hook.pytest_deselected(items=deselected)


def _store_of(item: pytest.Item) -> str | None:
    store = item.callspec.params.get("store") if hasattr(item, "callspec") else None
    return store if isinstance(store, str) else None


# Fixtures of the scenarios.


@pytest.fixture
def scale() -> Scale:
    return Scale() if is_full() else SMALL


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """A random generator with the same draws in each run with the same seed."""
    return random.Random(f"{_SEED} {request.node.name}")  # noqa: S311 - no secret


@pytest.fixture
def seed() -> int:
    return _SEED


@pytest.fixture
def tally(record_property: Callable[[str, Any], None]) -> Callable[..., None]:
    """Record counts, such as ``tally(published=3, lost=0)``; they are printed even if the scenario fails later."""
    return lambda **counts: record_property(COUNTS, counts)


@pytest.fixture(autouse=True)
def _named(store: str, request: pytest.FixtureRequest, record_property: Callable[[str, Any], None]) -> None:
    """Record the scenario's name and its store."""
    record_property(NAME, request.node.get_closest_marker("scenario").args[0])
    record_property(WHERE, store)


@pytest.fixture
def broker(store: str, tmp_path: Path) -> Iterator[Broker]:
    """A private broker of the scenario."""
    broker = STORES[store].broker(tmp_path)
    yield broker
    broker.close()


@pytest.fixture
def make_site(broker: Broker, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Return a function that makes a site with the chaos tasks: ``make_site(**settings)``."""
    made: list[Site] = []

    def make(**settings: Any) -> Site:
        defaults = {
            "imports": ["tests.support.chaos.tasks", "tests.support.chaos.dropped_jobs"],
            "task_ignore_result": True,
        }
        made.append(Site(tmp_path, broker.url, **defaults, **settings))
        return made[-1]

    yield make
    for site in made:
        site.close()
