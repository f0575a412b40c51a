from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from celery.bin.celery import celery
from click.testing import CliRunner

from kombu_pool.operator import queues
from tests.support.celery.closing_pools import closing_pools
from tests.support.limits import LIMIT
from tests.support.servers import mongodb
from tests.support.servers.redis_shared import fresh_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


#: The broker URLs of new stores, out of a folder.
STORES = {
    "sqlite": lambda folder: f"pool+sqlite:///{folder}/control.db",
    "redis": lambda folder: f"pool+{fresh_uri()}",
    "mongodb": lambda folder: f"pool+{mongodb.fresh_uri()}",
}


@pytest.fixture(autouse=True)
def slow_pools_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a pool time for its first answer: the machine may be busy with other tests."""
    monkeypatch.setattr(queues, "POOL_TIMEOUT", LIMIT)


@pytest.fixture(params=STORES)
def stored(request: pytest.FixtureRequest, app: Celery, tmp_path: Path) -> Celery:
    """The application, over each store."""
    app.conf.broker_url = STORES[request.param](tmp_path)
    return app


@pytest.fixture
def ask(pool: Callable[..., tuple[int, list[list[str]]]]) -> Callable[..., object]:
    """Call ``celery -A app pool ... --json``, which must end well; returns the document."""

    def call(*arguments: str) -> object:
        status, lines = pool(*arguments, "--json")
        text = "\n".join("\t".join(line) for line in lines)
        assert status == 0, text
        return json.loads(text)

    return call


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    made = Celery("shop", broker=f"pool+sqlite:///{tmp_path}/control.db", set_as_current=False)
    with closing_pools(made):
        yield made


@pytest.fixture
def pool(app: Celery) -> Callable[..., tuple[int, list[list[str]]]]:
    """Call ``celery -A app pool ...``; returns the exit status and the lines, each split at its tabs."""

    def call(*arguments: str) -> tuple[int, list[list[str]]]:
        done = CliRunner().invoke(celery, ["pool", *arguments], obj=None, default_map={"app": app})
        return done.exit_code, [line.split("\t") for line in done.output.splitlines()]

    return call
