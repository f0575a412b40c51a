"""Prometheus's metrics, for the same token as the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from kombu_pool.web.problems import Problem
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from kombu_pool.operator.broker import Broker
    from kombu_pool.web.site import Site


def metrics(request: Request) -> Response:
    """Answer with the metrics."""
    answer = _endpoints(site_of(request)).metrics(request.headers.get("accept", ""))
    return Response(answer.body, headers={"Content-Type": answer.content_type})


def _endpoints(site: Site) -> Any:
    try:
        from kombu_pool.metrics import Collector, Endpoints  # noqa: PLC0415 - the extra [metrics]
    except ModuleNotFoundError as error:
        raise Problem(501, "Not installed", str(error)) from error
    return site.once("metrics", lambda: Endpoints(_collector(site, Collector)))


def _collector(site: Site, collector: Any) -> Any:
    def broker() -> Broker:
        opened = site.broker
        site.call_on_close(made.close)  # before the broker, which was opened first
        return opened

    made = collector(broker, interval=site.options.every)
    return made


routes = [Route("/metrics", metrics, name="metrics")]
