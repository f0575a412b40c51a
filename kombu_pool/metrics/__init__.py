"""The queues of a project as they change: samples that all processes share, their history, and Prometheus's metrics."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kombu_pool.metrics.sampler import Sampler

_MODULES = {"Sampler": "kombu_pool.metrics.sampler"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(_MODULES[name]), name)
    return found


__all__ = ["Sampler"]
