"""The tasks of a Celery application that wait: found, cancelled and rescheduled by their ids."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery.app.task import Context
from kombu.serialization import loads, prepare_accept_content

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kombu_pool.model import FoundMessage, KeyResult, Project
    from kombu_pool.storage import MessageController


class Tasks:
    """The waiting tasks of an application, over its broker connection."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def find(self, task_id: str, queue: str | None = None) -> KeyResult:
        """Return the messages of a task, in every state, as :meth:`MessageController.find` does."""
        with self._messages() as (messages, project):
            return messages.find(task_id, queue, project)

    def cancel(self, task_id: str, queue: str | None = None) -> KeyResult:
        """Cancel a task that waits, as :meth:`MessageController.cancel` does; one that runs is left alone.

        As a worker does with a revoked task, this stores its state in the result backend, fails the chord that it
        belongs to, and sends ``task-revoked``.
        """
        with self._messages() as (messages, project):
            result = messages.cancel(task_id, queue, project)
        self.revoke(result.messages)
        return result

    def revoke(self, messages: Iterable[FoundMessage]) -> None:
        """Do what :meth:`cancel` does for tasks whose messages were deleted already."""
        for message in messages:
            self._revoke(message)

    def change(
        self, task_id: str, due: float | None = None, priority: int | None = None, queue: str | None = None
    ) -> KeyResult:
        """Change when a task that waits is due, or its priority, as :meth:`MessageController.change` does."""
        with self._messages() as (messages, project):
            return messages.change(task_id, due, priority, queue, project)

    @contextmanager
    def _messages(self) -> Iterator[tuple[MessageController, Project]]:
        with self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=0)
            opened = connection.connection
            yield opened.broker.data.message_controller, opened.options.project

    def _revoke(self, message: FoundMessage) -> None:
        envelope = message["body"]
        try:
            headers = envelope["headers"]
            task_id, name = headers["id"], headers["task"]
        except (KeyError, TypeError):
            return  # no task of Celery's present protocol: nothing says which result is its
        request = Context({**headers, **self._embedded(envelope)})
        task = self._app.tasks.get(name)
        backend = self._app.backend if task is None else task.backend
        backend.mark_as_revoked(task_id, "revoked", request=request, store_result=not headers.get("ignore_result"))
        with self._app.events.default_dispatcher() as dispatcher:
            dispatcher.send("task-revoked", uuid=task_id, terminated=False, signum=None, expired=False)

    def _embedded(self, envelope: Any) -> dict[str, Any]:
        """Return the arguments of a task and what else its body has, as the chord; nothing of an unknown body."""
        try:
            args, kwargs, embedded = loads(
                envelope["body"],
                envelope.get("content-type"),
                envelope.get("content-encoding"),
                accept=prepare_accept_content(self._app.conf.accept_content),
            )
        except Exception:  # noqa: BLE001 - a body is whatever a producer sent
            return {}
        return {"args": args, "kwargs": kwargs, **(embedded or {})}


def tasks(app: Any) -> Tasks:
    """Return the waiting tasks of a Celery application, whose broker is a pool."""
    return Tasks(app)
