"""The messages of a queue, as an operator sees them: bodies are hidden unless they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.operator.summaries import body_summary, reason_name, task_of
from kombu_pool.transport.publish.envelope import enveloped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kombu_pool.model import Message, Project
    from kombu_pool.pooling import DataDriver

#: Messages that are searched for those that match a filter.
MAX_SEARCHED = 1000
_PAGE_SIZE = 100


@dataclass(frozen=True)
class MessageView:
    """A message; times are in seconds since the epoch, ages in seconds."""

    id: str
    state: str
    age: int
    priority: int
    claim_count: int
    task: str | None
    task_id: str | None
    content_type: str | None
    #: Size of the serialized body, in bytes.
    size: int
    #: When a delayed message becomes free; None if it is not delayed, or the store does not tell.
    due: float | None = None
    #: For a dead letter: the queue that it came from, the reason, the time, the claims there.
    dead_letter: dict[str, Any] | None = None
    #: The beginning of the body, for a task its arguments; None unless asked for.
    body: str | None = None

    @classmethod
    def of(cls, message: Message, state: str, due: float | None = None, *, show_body: bool = False) -> MessageView:
        """Return the view of a message."""
        envelope = enveloped(message["body"], "")
        body, header = envelope["body"], message.get("dead_letter")
        reason = "" if header is None else header["reason"]
        return cls(
            message["id"],
            state,
            int(message["age"]),
            message.get("priority", 0),
            message["claim_count"],
            *task_of(message["body"]),
            None if envelope.get("content-type") is None else str(envelope["content-type"]),
            len(body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body),
            due,
            None if header is None else {**header, "reason": reason_name(reason)},
            body_summary(message["body"], reason) if show_body else None,
        )


def peek(
    store: DataDriver,
    project: Project,
    queue: str,
    *,
    limit: int = 20,
    delayed: bool = False,
    dead: bool = False,
    task: str | None = None,
    show_bodies: bool = False,
) -> list[MessageView]:
    """Return the first messages of a queue: the ready ones, or the ``delayed`` ones that are due first.

    ``dead``: dead letters only; ``task``: tasks of that name only. Both are looked for among the first ``MAX_SEARCHED``
    messages.

    Raises:
        QueueDoesNotExist: the queue does not exist.
    """
    require(store, project, queue)
    searched = MAX_SEARCHED if dead or task else limit
    found = look(store, project, queue, searched, delayed=delayed)
    state = "delayed" if delayed else "ready"
    views = (MessageView.of(message, state, due, show_body=show_bodies) for message, due in found)
    kept = (view for view in views if (not dead or view.dead_letter) and (not task or view.task == task))
    return list(islice(kept, limit))


def look(
    store: DataDriver, project: Project, queue: str, limit: int, *, delayed: bool
) -> Iterator[tuple[Message, float | None]]:
    """Yield the first ready messages of a queue, or the delayed ones that are due first, with the time."""
    return _delayed(store, project, queue, limit) if delayed else _ready(store, project, queue, limit)


def require(store: DataDriver, project: Project, queue: str) -> None:
    """Raise QueueDoesNotExist if there is no such queue."""
    if not store.queue_controller.exists(queue, project):
        raise QueueDoesNotExist(queue, project)


def _ready(store: DataDriver, project: Project, queue: str, limit: int) -> Iterator[tuple[Message, None]]:
    for page in pages(store, project, queue, limit):
        yield from ((message, None) for message in page)


def pages(
    store: DataDriver, project: Project, queue: str, limit: int, *, include_delayed: bool = False
) -> Iterator[Sequence[Message]]:
    """Yield the first ``limit`` messages of a queue, in pages."""
    marker = None
    while limit > 0:
        listing = store.message_controller.list(
            queue, project, marker, min(limit, _PAGE_SIZE), echo=True, include_delayed=include_delayed
        )
        page, marker = list(next(listing)), next(listing)
        if not page:
            return
        limit -= len(page)
        yield page


def _delayed(store: DataDriver, project: Project, queue: str, limit: int) -> Iterator[tuple[Message, float | None]]:
    due = dict(store.message_controller.due_times(queue, project, limit))
    ids = iter(due)
    while batch := list(islice(ids, _PAGE_SIZE)):
        found = {message["id"]: message for message in store.message_controller.bulk_get(queue, batch, project)}
        yield from ((found[one], due[one]) for one in batch if one in found)
