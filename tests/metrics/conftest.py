from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest

import kombu_pool
from kombu_pool.metrics import Sampler
from tests.support.servers import mongodb
from tests.support.servers.redis_shared import fresh_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kombu_pool.pooling import DataDriver

_numbers = itertools.count()
#: The URIs of new control stores, out of a folder.
CONTROL_STORES = {
    "memory": lambda folder: f"memory://metrics-{os.getpid()}-{next(_numbers)}",
    "sqlite": lambda folder: f"sqlite:///{folder}/control.db",
    "redis": lambda folder: fresh_uri(),
    "mongodb": lambda folder: mongodb.fresh_uri(),
}


@pytest.fixture(params=CONTROL_STORES)
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URI of each kind of control store."""
    return CONTROL_STORES[request.param](tmp_path)


@pytest.fixture
def opened() -> Iterator[Callable[..., DataDriver]]:
    """Open a broker, as another process does."""
    stores = []

    def open_store(uri: str, **options: object) -> DataDriver:
        stores.append(kombu_pool.open(uri, **options))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def samplers() -> Iterator[Callable[..., Sampler]]:
    made = []

    def make(*arguments: object, **options: object) -> Sampler:
        made.append(Sampler(*arguments, **options))
        return made[-1]

    yield make
    for sampler in made:
        sampler.close()
