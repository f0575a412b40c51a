"""Adds the delayed tasks of the store to what a Celery worker answers to ``inspect scheduled``."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kombu_pool.transport.consume.deliveries import Message

CONTROL = "celery.worker.control"
#: The command that lists the tasks of a worker's timer, and its older name.
COMMANDS = ("scheduled", "dump_schedule")
#: The priority of an ETA in a worker's timer.
TIMER_PRIORITY = 6


def install() -> None:
    """Extend the command, if this process has loaded Celery's worker and the command is Celery's own. Idempotent."""
    control: Any = sys.modules.get(CONTROL)
    # None while another thread imports it.
    method = getattr(control, "scheduled", None)
    if method is None:
        return
    for name in COMMANDS:
        if control.Panel.data.get(name) is method:
            control.Panel.data[name] = _with_delayed(method, control.Request)


def _with_delayed(method: Callable[..., Any], request_class: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def scheduled(state: Any, **options: Any) -> list[dict[str, Any]]:
        read = getattr(state.consumer.connection.transport, "delayed_tasks", None)
        delayed = [*_requests(read(), state, request_class)] if read else []
        delayed.sort(key=lambda pair: pair[0].eta.timestamp() if pair[0].eta else math.inf)
        return [*method(state, **options), *(_entry(request, info) for request, info in delayed)]

    return scheduled


def _requests(
    messages: Iterable[Message], state: Any, request_class: Callable[..., Any]
) -> Iterator[tuple[Any, dict[str, Any]]]:
    for message in messages:
        # A task whose headers Celery cannot read must not hide the others; the worker that gets it reports it.
        with suppress(Exception):
            yield _request(message, state, request_class)


def _request(message: Message, state: Any, request_class: Callable[..., Any]) -> tuple[Any, dict[str, Any]]:
    """Return Celery's request for a task, and its description; a body that cannot be decoded is left out of both."""
    known = {
        "app": state.app,
        "hostname": state.hostname,
        "task": state.app.tasks.get(message.headers["task"], state.app.Task),
    }
    message.accept = getattr(state.consumer.task_consumer, "accept", None)
    try:
        request = request_class(message, **known)
        return request, request.info()
    except Exception:  # noqa: BLE001 - a body is whatever a producer sent
        request = request_class(message, body=((), {}, {}), decoded=True, **known)
        return request, request.info(safe=True)


def _entry(request: Any, info: dict[str, Any]) -> dict[str, Any]:
    eta = request.eta.isoformat() if request.eta else None
    return {"eta": eta, "priority": TIMER_PRIORITY, "request": info}
