"""The queues of a project as they change: samples that all processes share, their history, and Prometheus's metrics."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kombu_pool.metrics.collector import Collector
    from kombu_pool.metrics.endpoints import Endpoints, make_wsgi_app
    from kombu_pool.metrics.sampler import Sampler

_MODULES = {
    "Collector": "kombu_pool.metrics.collector",
    "Endpoints": "kombu_pool.metrics.endpoints",
    "Sampler": "kombu_pool.metrics.sampler",
    "make_wsgi_app": "kombu_pool.metrics.endpoints",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = getattr(import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        raise ModuleNotFoundError(
            f"kombu_pool.metrics.{name} needs prometheus_client: pip install 'kombu-pool[metrics]'", name=error.name
        ) from error
    globals()[name] = found
    return found


__all__ = ["Collector", "Endpoints", "Sampler", "make_wsgi_app"]
