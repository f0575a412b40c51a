"""The tasks of a Celery application that wait: found, cancelled and rescheduled by their ids."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery.app.task import Context
from celery.backends.base import DisabledBackend
from kombu.serialization import loads, prepare_accept_content

from kombu_pool.drivers import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kombu_pool.model import FoundMessage, KeyResult, Project
    from kombu_pool.storage import MessageController

logger = logging.getLogger(__name__)


class Tasks:
    """The waiting tasks of an application, over its broker connection.

    Of a task of Celery's message protocol 1 only the message is deleted: its result stays as it is.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    def find(self, task_id: str, queue: str | None = None) -> KeyResult:
        """Return the messages of a task, in every state, as :meth:`MessageController.find` does."""
        with self._messages() as (messages, project):
            return messages.find(task_id, queue, project)

    def cancel(self, task_id: str, queue: str | None = None) -> KeyResult:
        """Cancel a task that waits, as :meth:`MessageController.cancel` does; one that runs is left alone.

        As a worker does with a revoked task, this stores its state in the result backend, fails the chord that it
        belongs to, and sends ``task-revoked``. If that fails for a task, its result stays as it is, which is logged.
        """
        with self._messages() as (messages, project):
            result = messages.cancel(task_id, queue, project)
        for error in self.revoke(result.messages).values():
            logger.warning("The result of task %s, which is cancelled, stays as it is: %s", task_id, mask(str(error)))
        return result

    def revoke(self, messages: Iterable[FoundMessage]) -> dict[str, Exception]:
        """Do what :meth:`cancel` does for tasks whose messages were deleted already; return the errors by task."""
        revoked, failures = [], {}
        for message in messages:
            task_id = _id_of(message["body"])
            if task_id is None:
                continue
            try:
                self._revoke(task_id, message["body"])
                revoked.append(task_id)
            except Exception as error:  # noqa: BLE001 - whatever a result backend raises, others are revoked
                failures[task_id] = error
        self._send_events(revoked)
        return failures

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

    def _revoke(self, task_id: str, envelope: Any) -> None:
        headers = envelope["headers"]
        request = Context({**headers, **self._embedded(envelope)})
        task = self._app.tasks.get(headers["task"])
        backend = self._app.backend if task is None else task.backend
        backend.mark_as_revoked(task_id, "revoked", request=request, store_result=not headers.get("ignore_result"))

    def _send_events(self, revoked: Iterable[str]) -> None:
        if not revoked:
            return
        try:
            with self._app.events.default_dispatcher() as dispatcher:
                for task_id in revoked:
                    dispatcher.send("task-revoked", uuid=task_id, terminated=False, signum=None, expired=False)
        except Exception as error:  # noqa: BLE001 - whatever a broker raises; the results are stored
            logger.warning("The events of revoked tasks are not sent: %s", mask(str(error)))

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


def _id_of(envelope: Any) -> str | None:
    """Return the id of a task; None of anything else, and of a task of protocol 1, whose headers do not name it."""
    try:
        headers = envelope["headers"]
        return str(headers["id"]) if headers["task"] else None
    except (KeyError, TypeError):
        return None


def tasks(app: Any) -> Tasks:
    """Return the waiting tasks of a Celery application, whose broker is a pool."""
    return Tasks(app)


def revoker(app: Any) -> Callable[[Iterable[FoundMessage]], dict[str, Exception]] | None:
    """Return :meth:`Tasks.revoke` of an application; None without a result backend."""
    return None if isinstance(app.backend, DisabledBackend) else Tasks(app).revoke
