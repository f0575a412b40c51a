"""Deletes queues, and messages that wait: all of a queue, or those that are chosen, and no claimed one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from kombu_pool.errors import MessageIsClaimed, NotPermitted
from kombu_pool.operator.messages import pages, require
from kombu_pool.operator.queue_details import show_queue
from kombu_pool.operator.summaries import task_of
from kombu_pool.storage.dead_letters import RESERVATION_TTL
from kombu_pool.storage.redrive import DeadLetterFilter, DeadLetterScan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu_pool.model import ClaimMetadata, Message, Project
    from kombu_pool.operator.queues import QueueRow
    from kombu_pool.pooling import DataDriver

_CLAIM: ClaimMetadata = {"ttl": RESERVATION_TTL, "grace": 0}


def purge(
    store: DataDriver,
    project: Project,
    queue: str,
    *,
    keep_delayed: bool = False,
    task: str | None = None,
    progress: Callable[[int, int], bool | None] | None = None,
) -> int:
    """Delete the messages of a queue that no consumer holds; return their number.

    ``keep_delayed``: only those that could be delivered now. ``task``: only tasks of that name. ``progress`` is called,
    if either is given, with the number of messages seen and their total after each page; True ends the deletion.

    Raises:
        QueueDoesNotExist: the queue does not exist.
    """
    require(store, project, queue)
    if not keep_delayed and task is None:
        return store.message_controller.purge(queue, project)
    # Bounded by the present count: a producer may add messages faster than this deletes them.
    present, seen, deleted = _count(store, project, queue, keep_delayed=keep_delayed), 0, 0
    for page in pages(store, project, queue, present, include_delayed=not keep_delayed):
        chosen = [message for message in page if task is None or task_of(message["body"])[0] == task]
        deleted += _delete(store, project, queue, chosen)
        seen += len(page)
        if progress is not None and progress(seen, present):
            break
    return deleted


def _count(store: DataDriver, project: Project, queue: str, *, keep_delayed: bool) -> int:
    """Return the exact number of free messages, and of delayed ones unless they are kept."""
    if keep_delayed:
        return store.message_controller.count(queue, project)
    # Of these two states together: no other count is exact in every store.
    free: int = store.queue_controller.stats(queue, project)["messages"]["free"]
    return free


def delete_queue(
    store: DataDriver, project: Project, queue: str, *, if_empty: bool = False, if_unused: bool = False
) -> None:
    """Delete a queue with its messages and bindings; its consumers are cancelled.

    ``if_empty``: only if it has no message; ``if_unused``: only if it has no consumer, in the step that deletes it.

    Raises:
        QueueDoesNotExist: the queue does not exist.
        NotPermitted: it has messages, or consumers.
    """
    require_deletable(show_queue(store, project, queue).row, if_empty=if_empty, if_unused=if_unused)
    if not if_unused:
        store.queue_controller.delete(queue, project)
        return
    incarnation = store.catalog.fresh_route(queue, project).incarnation
    if incarnation and not store.queue_controller.expire(queue, project, unused=incarnation):
        raise NotPermitted(f"{queue} has a consumer.")


def require_deletable(row: QueueRow, *, if_empty: bool, if_unused: bool) -> None:
    """Raise NotPermitted if a queue has messages, or consumers, that it must not have."""
    if if_empty and row.total != 0:
        raise NotPermitted(f"{row.queue} has {_counted(row.total, 'message')}.")
    if if_unused and row.consumers:
        raise NotPermitted(f"{row.queue} has {_counted(row.consumers, 'consumer')}.")


def _counted(number: int | None, what: str) -> str:
    return f"{'?' if number is None else number} {what}{'' if number == 1 else 's'}"


class DeletableDeadLetters(DeadLetterFilter):
    """A selection of dead letters, unreadable ones among them: they cannot be redriven, but deleted."""

    def matches(self, message: Message) -> bool:
        header = message.get("dead_letter")
        return (
            header is not None
            and (self.reasons is None or header["reason"] in self.reasons)
            and (self.origins is None or header["queue"] in self.origins)
        )


def delete_dead_letters(
    store: DataDriver,
    project: Project,
    queue: str,
    selection: DeadLetterFilter,
    progress: Callable[[int, int], bool | None] | None = None,
) -> int:
    """Delete the selected dead letters of a queue; return their number.

    ``progress`` is called with the number of messages seen and their total after each batch; True ends the deletion.

    Raises:
        QueueDoesNotExist: the queue does not exist.
    """
    require(store, project, queue)
    scan, deleted = DeadLetterScan(store.message_controller, queue, project, DeletableDeadLetters(*selection)), 0
    for batch in scan:
        deleted += _delete(store, project, queue, batch)
        if progress is not None and progress(scan.seen, scan.total):
            break
    return deleted


def _delete(store: DataDriver, project: Project, queue: str, messages: Sequence[Message]) -> int:
    """Delete those of the messages that no consumer holds: free ones together, under a claim, delayed ones singly."""
    if not messages:
        return 0
    ids = [message["id"] for message in messages]
    claim, claimed = store.claim_controller.claim_by_id(queue, ids, _CLAIM, project)
    deleted = 0
    if claim is not None:
        held = [(message["id"], claim) for message in claimed]
        deleted = len(held) - len(store.message_controller.delete_claimed(queue, held, project))
    free = {message["id"] for message in claimed}
    others = [message_id for message_id in ids if message_id not in free]
    present = list(store.message_controller.bulk_get(queue, others, project)) if others else []
    for message in present:
        with suppress(MessageIsClaimed):
            store.message_controller.delete(queue, message["id"], project)
            deleted += 1
    return deleted
