"""What ``/metrics`` and ``/healthz`` answer, and both as a WSGI application."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError
from kombu_pool.operator.pools import check_health
from kombu_pool.pooling import call_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kombu_pool.metrics.collector import Collector
    from kombu_pool.operator.pools import PoolHealth
    from kombu_pool.pooling import DataDriver

#: Longest wait for the control store and the pools together, and for the pools alone, in seconds.
_TIMEOUT, _POOLS_TIMEOUT = 0.9, 0.8
_OK, _NOT_FOUND, _UNAVAILABLE = "200 OK", "404 Not Found", "503 Service Unavailable"
_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """A response: its status line, the type of its body, and the body."""

    status: str
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
        return Answer(_OK, content_type, encode(self._registry))

    def healthz(self) -> Answer:
        """Return within a second whether the control store answers, with the state of the pools: status 200, or 503.

        A pool that is down changes no status: a restart of this process would not mend it.
        """
        try:
            body = _health(self._collector.source.broker.store)
        except KombuPoolError as error:
            body = {"control_store": {"answers": False, "reason": mask(str(error))}, "pools": {}}
        is_healthy = body["control_store"]["answers"]
        return Answer(_OK if is_healthy else _UNAVAILABLE, _JSON, json.dumps(body).encode() + b"\n")


def _health(store: DataDriver) -> dict[str, Any]:
    calls: dict[str, Callable[[], Any]] = {
        "control": store.control.epoch,
        "pools": partial(check_health, store, _POOLS_TIMEOUT),
    }
    found = call_all(calls, _TIMEOUT)
    error, pools = found["control"], found["pools"]
    reason = mask(str(error)) if isinstance(error, KombuPoolError) else None
    return {
        "control_store": {"answers": reason is None, "reason": reason},
        "pools": {} if isinstance(pools, KombuPoolError) else {pool.pool: _state(pool) for pool in pools},
    }


def _state(pool: PoolHealth) -> dict[str, Any]:
    return {"answers": pool.answers, "since": pool.since, "reason": pool.reason}


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
            answer = Answer(_NOT_FOUND, _TEXT, b"There are /metrics and /healthz.\n")
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
        start_response(answer.status, headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [answer.body]

    return app
