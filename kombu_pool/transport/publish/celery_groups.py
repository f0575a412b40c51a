"""Lets Celery's groups gather: all tasks of one reach a queue in few posts, with no change to who sends them."""

from __future__ import annotations

import inspect
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any

from kombu_pool.transport.publish.buffer import gather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CANVAS = "celery.canvas"
#: The step of ``group.apply_async`` that sends the tasks; it begins with these parameters from Celery 5.4 to 5.7.
STEP, PARAMETERS = "_apply_tasks", ("self", "tasks", "producer", "app")
_MARK = "__gathers__"


def install() -> None:
    """Let groups gather from now on, if Celery is loaded and of a shape that we know. Idempotent."""
    group = getattr(sys.modules.get(CANVAS), "group", None)
    step = getattr(group, STEP, None)
    if step is not None and not hasattr(step, _MARK) and _is_known(step):
        setattr(group, STEP, _gathering(step))


def _is_known(step: Callable[..., Any]) -> bool:
    """Tell whether this is a generator that begins with the parameters that we hand over."""
    return inspect.isgeneratorfunction(step) and tuple(inspect.signature(step).parameters)[:4] == PARAMETERS


def _gathering(step: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    @wraps(step)
    def apply_tasks(
        self: Any, tasks: Any, producer: Any = None, app: Any = None, *arguments: Any, **options: Any
    ) -> Iterator[Any]:
        app = app or self.app
        with (
            app.producer_or_acquire(producer) as held,
            gather(held, _retry_policy(app.conf, **options), asked_for=False),
        ):
            yield from step(self, tasks, held, app, *arguments, **options)

    setattr(apply_tasks, _MARK, True)
    return apply_tasks


def _retry_policy(
    conf: Any, retry: bool | None = None, retry_policy: dict[str, Any] | None = None, **_: Any
) -> dict[str, Any] | None:
    """Return how Celery would try again to send a task of a group with these options; None: not at all."""
    if not (conf.task_publish_retry if retry is None else retry):
        return None
    return {**conf.task_publish_retry_policy, **(retry_policy or {})}
