"""Revokes tasks that wait: what ``app.control.revoke`` broadcasts is done for them before, by the calling process.

A task that waits is cancelled in its store, so that no worker runs it, whether one is up or not; a dead letter is left
alone. In the task's place its queue gets a *marker*: the same message with the rest of its ttl, at once and before all
others, with the header MARKER. The worker that gets it treats the task as revoked: it stores the state in the result
backend, fails the chord and sends ``task-revoked``.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from kombu.serialization import loads

from kombu_pool.errors import KombuPoolError
from kombu_pool.storage.validation import MAX_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kombu_pool.model import FoundMessage, KeyResult, NewMessage, Project
    from kombu_pool.transport.publish.envelope import Envelope

#: The header of a marker. A consumer that is no Celery worker must not run such a task.
MARKER = "x-kombu-pool-revoked"
COMMAND = "revoke"
#: The module of a Celery worker's state, with the ids of revoked tasks.
WORKER_STATE = "celery.worker.state"
#: Tasks that are cancelled before their markers are left: bounds those without one if the process dies.
MAX_CANCELLED = 500

logger = logging.getLogger(__name__)


def revoke_waiting(
    command: Envelope,
    cancel_many: Callable[..., KeyResult],
    post: Callable[..., Sequence[str]],
    project: Project,
) -> None:
    """Cancel the tasks that a command to a mailbox revokes, and leave markers.

    A process that dies between the two leaves a cancelled task without a marker: it does not run, and its result stays
    as it is.
    """
    ids = _revoked_ids(command)
    for start in range(0, len(ids), MAX_CANCELLED):
        _revoke(ids[start : start + MAX_CANCELLED], cancel_many, post, project)


def _revoke(
    ids: Sequence[str], cancel_many: Callable[..., KeyResult], post: Callable[..., Sequence[str]], project: Project
) -> None:
    try:
        result = cancel_many(ids, project)
    except KombuPoolError as error:
        logger.warning("%s not cancelled while waiting: %s", _named(ids), error)
        return
    for pool, failure in result.unreachable.items():
        logger.warning("%s not cancelled in pool %r, or not all: %s", _named(ids), pool, failure)
    _leave_markers(result.messages, post, project)


def _named(ids: Sequence[str]) -> str:
    return f"Task {ids[0]} is" if len(ids) == 1 else f"{len(ids)} tasks from {ids[0]} on are"


def _leave_markers(cancelled: Iterable[FoundMessage], post: Callable[..., Sequence[str]], project: Project) -> None:
    for message in cancelled:
        envelope = message["body"]
        if _is_task(envelope):
            headers = {**envelope["headers"], MARKER: True}
            marker: NewMessage = {"ttl": _remaining(message), "body": {**envelope, "headers": headers}}
            marker["priority"] = MAX_PRIORITY
            try:
                post(message["queue"], [marker], None, project)
            except KombuPoolError as error:
                logger.warning("The result of task %s, which is cancelled, stays as it is: %s", headers["id"], error)


def _remaining(message: FoundMessage) -> float | None:
    """Return the seconds after which the message would have expired, at least one; None if it never would."""
    return max(1, message["ttl"] - message["age"]) if message["ttl"] else None


def _is_task(envelope: Any) -> bool:
    try:
        return "task" in envelope["headers"] and "id" in envelope["headers"]
    except (KeyError, TypeError):
        return False


def _revoked_ids(command: Envelope) -> Sequence[str]:
    """Return the ids of the tasks that a command revokes; none for any other command."""
    body = command["body"]
    if (COMMAND.encode() if isinstance(body, bytes) else COMMAND) not in body:
        return ()
    try:
        content = loads(
            body, command.get("content-type"), command.get("content-encoding"), accept=("application/json",)
        )
        ids = content["arguments"]["task_id"] if content["method"] == COMMAND else ()
    except Exception:  # noqa: BLE001 - whatever is in a mailbox, its consumers decode it
        return ()
    return [ids] if isinstance(ids, str) else [each for each in ids or () if isinstance(each, str)]


def mark_revoked(headers: Mapping[str, Any]) -> None:
    """Let the Celery worker of this process, if it is one, treat the task of a marker as revoked."""
    state: Any = sys.modules.get(WORKER_STATE)
    revoked = getattr(state, "revoked", None)
    if revoked is not None:
        revoked.add(headers["id"])
