"""What ``/metrics`` and ``/healthz`` answer, and both as a WSGI application."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from kombu_pool.metrics.health import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kombu_pool.metrics.collector import Collector

_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """A response: its status, the type of its body, and the body."""

    status: int
    content_type: str
    body: bytes


class Endpoints:
    """The answers about one broker."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(collector)

    def metrics(self, accept: str = "") -> Answer:
        """Return the metrics, in Prometheus's text format or, if the client accepts it, in OpenMetrics."""
        encode, content_type = choose_encoder(accept)
        return Answer(HTTPStatus.OK, content_type, encode(self._registry))

    def healthz(self) -> Answer:
        """Return within a second whether the control store answers, with the state of the pools: status 200, or 503."""
        health = check(lambda: self._collector.source.broker)
        return Answer(health.status, _JSON, health.body())


def make_wsgi_app(collector: Collector) -> Callable[..., Iterable[bytes]]:
    """Return a WSGI application with ``/metrics`` and ``/healthz``, which another one may mount under any path."""
    endpoints = Endpoints(collector)

    def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            answer = endpoints.metrics(environ.get("HTTP_ACCEPT", ""))
        elif path == "/healthz":
            answer = endpoints.healthz()
        else:
            answer = Answer(HTTPStatus.NOT_FOUND, _TEXT, b"There are /metrics and /healthz.\n")
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
        start_response(f"{answer.status:d} {HTTPStatus(answer.status).phrase}", headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [answer.body]

    return app
