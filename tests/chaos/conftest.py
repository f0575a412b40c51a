"""Each test here is a scenario, which runs over each store and counts what happened; ``make chaos`` shows that."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.celery.site import Site
from tests.support.chaos.report import COUNTS, NAME, WHERE, Report
from tests.support.chaos.scale import SEED, SMALL, SMOKE, SMOKE_STORE, STORE, Scale, is_full
from tests.support.chaos.scheduling import Lanes
from tests.support.chaos.stores import STORES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.celery.brokers import Broker

_SEED = int(os.environ.get(SEED) or (random.SystemRandom().randrange(10**6) if is_full() else 1))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scenario(name, *stores): what make chaos calls it, and where it makes sense")
    if is_full() and not hasattr(config, "workerinput"):
        os.environ[SEED] = str(_SEED)  # for the processes that run the scenarios
        config.pluginmanager.register(Report(config, f"{SEED}={_SEED}"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each scenario over the stores where it makes sense, or the one that was asked for."""
    scenario = metafunc.definition.get_closest_marker("scenario")
    if scenario is None:
        return
    asked = os.environ.get(STORE) if is_full() else SMOKE_STORE
    if asked and asked not in STORES:
        raise pytest.UsageError(f"{STORE} must be one of {', '.join(STORES)}, not {asked!r}")
    stores = [store for store in (scenario.args[1:] or STORES) if asked in (None, "", store)]
    metafunc.parametrize("store", stores if is_full() or scenario.args[0] in SMOKE else [])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes | None:
    return Lanes(config, log) if is_full() else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has no store: it is not for now."""
    left_out = [item for item in items if item.get_closest_marker("scenario") and _store_of(item) is None]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def _store_of(item: pytest.Item) -> str | None:
    store = item.callspec.params.get("store") if hasattr(item, "callspec") else None
    return store if isinstance(store, str) else None


# What a scenario has.


@pytest.fixture
def scale() -> Scale:
    return Scale() if is_full() else SMALL


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Draws the same in each run with the same seed."""
    return random.Random(f"{_SEED} {request.node.name}")  # noqa: S311 - no secret


@pytest.fixture
def seed() -> int:
    return _SEED


@pytest.fixture
def tally(record_property: Callable[[str, Any], None]) -> Callable[..., None]:
    """Say what was counted: ``tally(published=3, lost=0)``; it is shown though the scenario fails later."""
    return lambda **counts: record_property(COUNTS, counts)


@pytest.fixture(autouse=True)
def _named(store: str, request: pytest.FixtureRequest, record_property: Callable[[str, Any], None]) -> None:
    """Say which scenario this is, and where it happens."""
    record_property(NAME, request.node.get_closest_marker("scenario").args[0])
    record_property(WHERE, store)


@pytest.fixture
def broker(store: str, tmp_path: Path) -> Iterator[Broker]:
    """A broker of the scenario's own."""
    broker = STORES[store].broker(tmp_path)
    yield broker
    broker.close()


@pytest.fixture
def make_site(broker: Broker, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Make a site whose tasks are those of this folder: ``make_site(**settings)``."""
    made: list[Site] = []

    def make(**settings: Any) -> Site:
        ours = {
            "imports": ["tests.support.chaos.tasks", "tests.support.chaos.dropped_jobs"],
            "task_ignore_result": True,
        }
        made.append(Site(tmp_path, broker.url, **ours, **settings))
        return made[-1]

    yield make
    for site in made:
        site.close()
