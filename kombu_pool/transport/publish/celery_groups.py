"""Buffers the tasks of a Celery group, so that they reach each queue in few posts, without a change to its sender."""

from __future__ import annotations

import inspect
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any

from kombu_pool.transport.publish.buffer import gather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CANVAS = "celery.canvas"
#: The method of ``group`` that sends the tasks, and its first parameters in Celery 5.4 to 5.7.
METHOD, PARAMETERS = "_apply_tasks", ("self", "tasks", "producer", "app")
_MARK = "__buffers__"


def install() -> None:
    """Make groups buffer, if Celery is loaded and its method has the known parameters. Idempotent."""
    group = getattr(sys.modules.get(CANVAS), "group", None)
    method = getattr(group, METHOD, None)
    if method is not None and not hasattr(method, _MARK) and _is_known(method):
        setattr(group, METHOD, _buffering(method))


def _is_known(method: Callable[..., Any]) -> bool:
    """Return whether the method is a generator with the known first parameters."""
    return inspect.isgeneratorfunction(method) and tuple(inspect.signature(method).parameters)[:4] == PARAMETERS


def _buffering(method: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    @wraps(method)
    def apply_tasks(
        self: Any, tasks: Any, producer: Any = None, app: Any = None, *arguments: Any, **options: Any
    ) -> Iterator[Any]:
        app = app or self.app
        with (
            app.producer_or_acquire(producer) as used,
            gather(used, _retry_policy(app.conf, **options), explicit=False),
        ):
            yield from method(self, tasks, used, app, *arguments, **options)

    setattr(apply_tasks, _MARK, True)
    return apply_tasks


def _retry_policy(
    conf: Any, retry: bool | None = None, retry_policy: dict[str, Any] | None = None, **_: Any
) -> dict[str, Any] | None:
    """Return Celery's retry policy for the tasks of a group with these options; None: no retry."""
    if not (conf.task_publish_retry if retry is None else retry):
        return None
    return {**conf.task_publish_retry_policy, **(retry_policy or {})}
