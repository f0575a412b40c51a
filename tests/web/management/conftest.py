from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from kombu import Connection
from starlette.testclient import TestClient

from kombu_pool.operator.broker import BrokerUrl, open_broker
from kombu_pool.web import create_app
from kombu_pool.web.management import queue_objects
from tests.support.conformance.stores import STORES
from tests.support.limits import LIMIT
from tests.support.web.addresses import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from httpx import Response

    from kombu_pool.operator.broker import Broker


class Api:
    """A client of the API over one broker URL, with the password of a RabbitMQ client."""

    def __init__(
        self, url: str, transport_options: Any = None, connect: Callable[[Broker], Broker] = lambda x: x, **options: Any
    ) -> None:
        self.url = url
        self._opened = open_broker(BrokerUrl(url, transport_options), create=True)
        self.broker = connect(self._opened.__enter__())
        self.store = self.broker.store
        self.app = create_app(self.broker, token=TOKEN, **options)
        self.client = TestClient(self.app, headers={"accept": "application/json"})
        self.client.auth = ("guest", TOKEN)

    def close(self) -> None:
        self.app.state.site.close()
        self._opened.__exit__(None, None, None)

    def get(self, path: str, status: int = 200) -> Any:
        """Return the document of a path."""
        answer = self.client.get(f"/api{path}")
        assert answer.status_code == status, answer.text
        return answer.json()

    def send(self, method: str, path: str, body: Any = None) -> Response:
        """Send a request with a JSON body, or with bytes."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.client.request(method, f"/api{path}", content=content, headers={"content-type": "application/json"})

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request that must succeed; return the document, if there is one."""
        answer = self.send(method, path, body)
        assert answer.status_code in {200, 201, 204}, answer.text
        return answer.json() if answer.content else answer.status_code

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str, Any]:
        """Send a request that must be refused; return status, error and reason."""
        answer = self.send(method, path, body)
        assert answer.status_code >= 400, answer.text
        document = answer.json()
        assert document.keys() == {"error", "reason"}
        return answer.status_code, document["error"], document["reason"]

    def queue(self, name: str, vhost: str = "/") -> Any:
        return self.get(f"/queues/{quote(vhost, safe='')}/{quote(name, safe='')}")

    def publish(self, queue: str, payload: str = "hello", encoding: str = "string", **properties: Any) -> Any:
        body = {"routing_key": queue, "payload": payload, "payload_encoding": encoding, "properties": properties}
        return self.done("POST", "/exchanges/%2F/amq.default/publish", body)

    def messages(self, queue: str, count: int = 100, ackmode: str = "ack_requeue_true", **more: Any) -> Any:
        body = {"count": count, "ackmode": ackmode, "encoding": "auto", **more}
        return self.done("POST", f"/queues/%2F/{quote(queue, safe='')}/get", body)

    def payloads(self, queue: str, **options: Any) -> list[str]:
        return [message["payload"] for message in self.messages(queue, **options)]

    @contextmanager
    def channel(self, project: str | None = None) -> Iterator[Any]:
        """A channel of a client of the broker."""
        with Connection(self.url, transport_options={"project": project}) as connection:
            yield connection.channel()


@pytest.fixture(autouse=True)
def slow_pools_answer_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_objects, "POOL_TIMEOUT", LIMIT)


@pytest.fixture
def open_api(tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Open the API over a SQLite file, with options of the application."""
    opened = []

    def open_api(**options: Any) -> Api:
        opened.append(Api(f"pool+sqlite:///{tmp_path}/control.db", **options))
        return opened[-1]

    yield open_api
    for api in opened:
        api.close()


@pytest.fixture
def api(open_api: Callable[..., Api]) -> Api:
    return open_api()


@pytest.fixture(params=["sqlite", "redis", "mongodb"])
def any_api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Api]:
    """The API over each store."""
    api = Api(f"pool+{STORES[request.param].uri(tmp_path, 'store')}")
    yield api
    api.close()
