from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from kombu_pool.operator import queues
from kombu_pool.operator.broker import BrokerUrl, open_broker
from kombu_pool.web import control_gate, create_app
from tests.support.limits import LIMIT
from tests.support.web.addresses import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kombu_pool.operator.broker import Broker


@pytest.fixture(autouse=True)
def slow_pools_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a pool, and the control store, time for the first answer: the machine may be busy with other tests."""
    monkeypatch.setattr(queues, "POOL_TIMEOUT", LIMIT)
    monkeypatch.setattr(control_gate, "TIMEOUT", LIMIT)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """An opened broker with one queue, over SQLite."""
    with open_broker(BrokerUrl(f"pool+sqlite:///{tmp_path}/control.db"), create=True) as broker:
        broker.store.queue_controller.create("orders", None, broker.project)
        yield broker


@pytest.fixture
def browse_of() -> Iterator[Callable[..., TestClient]]:
    """Return a client of the page of a broker with these options, from this machine unless another ``client`` asks."""
    opened = []

    def open_client(
        broker: Any, *, base_url: str = LOOPBACK, client: str = "127.0.0.1", every: float = 0.2, **options: Any
    ) -> TestClient:
        app = create_app(broker, every=every, **options)
        opened.append(app.state.site)
        return TestClient(
            app, base_url, client=(client, 50_000), follow_redirects=False, headers={"accept": "text/html"}
        )

    yield open_client
    for site in opened:
        site.close()


@pytest.fixture
def browse(broker: Broker, browse_of: Callable[..., TestClient]) -> Callable[..., TestClient]:
    """As ``browse_of``, for the broker with one queue."""
    return partial(browse_of, broker)
