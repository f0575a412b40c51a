"""Tells an application of Celery that tasks were cancelled, as a worker does for a revoked task."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery.app.task import Context
from celery.backends.base import DisabledBackend
from kombu.serialization import loads, prepare_accept_content

from kombu_pool.transport.publish.envelope import enveloped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.model import Message

logger = logging.getLogger(__name__)

#: What stands in the body of a task beside its arguments: its callbacks, and its chord.
_EMBEDDED = ("callbacks", "errbacks", "chain", "chord")
_REASON = "revoked"


def has_results(app: Any) -> bool:
    """Return whether the application has a result backend."""
    return not isinstance(app.backend, DisabledBackend)


def tell_revoked(app: Any, messages: Iterable[Message]) -> None:
    """Store REVOKED for tasks whose messages were deleted, fail the chord of each, and send ``task-revoked``."""
    revoked = []
    for message in messages:
        envelope = enveloped(message["body"], "")
        headers = envelope["headers"]
        if "task" in headers and "id" in headers:
            _mark(app, headers["task"], _request(app, envelope))
            revoked.append(headers["id"])
    if revoked:
        with app.events.default_dispatcher() as dispatcher:
            for task_id in revoked:
                dispatcher.send("task-revoked", uuid=task_id, terminated=False, signum=None, expired=False)


def _request(app: Any, envelope: dict[str, Any]) -> Any:
    """Return a task's request as its worker would see it; of a body that cannot be decoded its headers alone."""
    headers = envelope["headers"]
    values = {**headers, "called_directly": False, "headers": dict(headers)}
    accepted = prepare_accept_content(app.conf.accept_content)
    try:
        args, kwargs, embedded = loads(
            envelope["body"], envelope["content-type"], envelope["content-encoding"], accept=accepted
        )
        values |= {"args": args, "kwargs": kwargs, **{name: embedded.get(name) for name in _EMBEDDED}}
    except Exception as error:  # noqa: BLE001 - whatever a serializer raises; the result can be stored without
        logger.warning(
            "The body of task %s cannot be decoded; its chord, if it has one, waits: %s", headers["id"], error
        )
    return Context(values)


def _mark(app: Any, name: str, request: Any) -> None:
    task = app.tasks.get(name)
    backend = app.backend if task is None else task.backend
    ignored = request.ignore_result or (task is not None and task.ignore_result)
    stored = not ignored or (task is not None and task.store_errors_even_if_ignored)
    backend.mark_as_revoked(request.id, _REASON, request=request, store_result=stored)
