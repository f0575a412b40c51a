"""The contract of a message store for moving a queue to another one.

The *source* is the store that the queue leaves, the *target* the one that it moves to. A queue is *sealed* by giving
its record an incarnation from :func:`sealed_incarnation`: no producer knows that one, so each post is refused in the
step that would store it, and the dead letters of other queues of the store are forwarded instead of stored here.

Its messages travel in batches: :meth:`MoveController.take` puts a batch aside in the source,
:meth:`MoveController.store` stores it in the target, :meth:`MoveController.remove` removes it from the source. A batch
is never taken before the last one was removed. So each step can be repeated, by two processes at once, and a crash
between two of them neither loses a message nor stores one twice.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from kombu_pool.errors import NotPermitted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from kombu_pool.model import IdempotencyKey, PresentId, Project
    from kombu_pool.moves import MovedMessage

#: Messages that are put aside together.
BATCH_SIZE: Final = 100
#: The epoch of a queue that stores no more batches.
CLOSED: Final = 2**53
#: How the incarnation of a sealed queue begins.
_SEALED: Final = "sealed:"
_RANDOM_BYTES: Final = 12


def new_incarnation() -> str:
    """Return an incarnation that no queue has had."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def sealed_incarnation() -> str:
    """Return an incarnation, for a sealed queue, that no queue has had."""
    return _SEALED + new_incarnation()


def prepared_incarnation(opened: str) -> str:
    """Return the incarnation, a sealed one, of a queue that is going to bear the incarnation ``opened``."""
    return _SEALED + opened


def is_sealed(incarnation: str) -> bool:
    """Return whether the queue that bears the incarnation is sealed."""
    return incarnation.startswith(_SEALED)


class MoveController:
    """Moves the messages of a queue out of a store, or into it; each method is refused here, for a store that cannot.

    Each method names the incarnation that the queue must bear, which is checked in the step that it makes; a queue that
    is absent or bears another one raises QueueDoesNotExist, if the method says nothing else.
    """

    # The target.

    def set_epoch(self, queue: str, project: Project = None, *, incarnation: str, epoch: int) -> Sequence[str]:
        """Let only the process of this epoch store batches in the queue, from the return of this call on.

        Epochs are numbers from 1; the queue keeps the greatest, and the last batch, until it gets another incarnation.
        :data:`CLOSED` lets no process store more. Idempotent. Returns the source's ids of the last stored batch.

        Raises:
            MoveSuperseded: the queue has a greater epoch; nothing was changed.
        """
        raise _refusal(queue)

    def store(
        self, queue: str, messages: Sequence[MovedMessage], project: Project = None, *, incarnation: str, epoch: int
    ) -> None:
        """Store a batch of messages, before all that were and will be posted to the queue, in the order given.

        Those that the last stored batch had already are left out; a message counts as stored when this returns, and
        is durable then, as a posted one. Batch and epoch are checked, and all messages stored, in one step.

        Each keeps its record, priority, ``created``, ``ttl``, expiry, due time, claim count, key, client, dead-letter
        header, and unique id, unless another message of the queue holds that. The queue's limits and defaults are not
        applied. A message whose expiry is over is stored, and ends as one that expired here.

        Raises:
            MoveSuperseded: the queue's epoch is another one; nothing was stored.
        """
        raise _refusal(queue)

    # The source.

    def take(
        self, queue: str, project: Project = None, limit: int = BATCH_SIZE, *, incarnation: str, delayed: bool = False
    ) -> Sequence[MovedMessage]:
        """Put aside up to ``limit`` free and delayed messages, the first in order; with ``delayed`` only delayed ones.

        If messages are put aside already, these are returned, and no others. They are in no state: no consumer can
        claim them, no read shows them and no count but :meth:`remaining` has them; they neither expire nor become due.
        An absent queue has none. The free ones come first, if that is less work; the order within each state is kept.
        """
        raise _refusal(queue)

    def remove(self, queue: str, message_ids: Collection[str], project: Project = None, *, incarnation: str) -> None:
        """Remove messages that are put aside. Idempotent; those that are not put aside stay."""
        raise _refusal(queue)

    def remaining(self, queue: str, project: Project = None, *, incarnation: str) -> int:
        """Count what keeps the queue from being given up; 0 for an absent queue.

        That are the messages that are free, delayed, claimed, dead or put aside, and the unique ids that are held for a
        time. Once 0, it stays 0, as a sealed queue gets no more. The count may stop at :data:`BATCH_SIZE`.
        """
        raise _refusal(queue)

    def completed_post(
        self, queue: str, idempotency_key: IdempotencyKey, project: Project = None
    ) -> Sequence[str] | None:
        """Return the ids of the post with this key, if it was stored in the queue, which may be sealed; else None.

        After None it is never stored. This holds for :data:`~kombu_pool.storage.IDEMPOTENCY_WINDOW` seconds, as the
        idempotency of a post does. An absent queue stored none.
        """
        return None

    def unique_holder(self, queue: str, unique_id: str, project: Project = None) -> PresentId | None:
        """Return the id of the message that holds a unique id in the queue, also one that is put aside; None: none."""
        return None


def _refusal(queue: str) -> NotPermitted:
    return NotPermitted(f"queue {queue!r} cannot be moved: its store does not support it")
