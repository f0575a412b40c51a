"""Celery's ``worker_disable_prefetch``: a worker claims a task when a process of its pool is free, and none before."""

from __future__ import annotations

import sys
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.transport.consume.prefetch import PrefetchWindow

TASKS, STATE = "celery.worker.consumer.tasks", "celery.worker.state"
SETTING = "worker_disable_prefetch"
_MARK = "__heeds_pool__"


def install() -> None:
    """Make the worker heed the setting here, too, if its module is loaded: Celery does for ``redis://`` alone."""
    step = getattr(sys.modules.get(TASKS), "Tasks", None)
    start = getattr(step, "start", None)
    if start is not None and not hasattr(start, _MARK):
        step.start = _heeding(start)  # type: ignore[union-attr] # not None


def _heeding(start: Callable[..., None]) -> Callable[..., None]:
    @wraps(start)
    def heeding(self: Any, consumer: Any) -> None:
        conf = consumer.app.conf
        if not conf.get(SETTING) or consumer.connection.transport.driver_type != "pool":
            start(self, consumer)
            return
        # Celery would warn that it ignores the setting.
        setattr(conf, SETTING, False)
        try:
            start(self, consumer)
        finally:
            setattr(conf, SETTING, True)
        window: PrefetchWindow = consumer.task_consumer.channel.qos
        reserved = sys.modules[STATE].reserved_requests
        window.demand = lambda: _processes(consumer) - len(reserved)

    setattr(heeding, _MARK, True)
    return heeding


def _processes(consumer: Any) -> int:
    """Return how many tasks the worker's pool runs at once; with ``--autoscale``, at most."""
    most: int = getattr(consumer.controller, "max_concurrency", None) or consumer.pool.num_processes
    return most
