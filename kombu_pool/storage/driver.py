"""The contract of a message store as a whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from kombu_pool.storage.moving import MoveController
from kombu_pool.storage.redrive import DeadLetterFilter, Redrive
from kombu_pool.storage.watch import PollingWatch, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from kombu_pool.model import Capabilities, Project, RedriveResult
    from kombu_pool.storage.data import ClaimController, MessageController
    from kombu_pool.storage.dead_letters import DeadLetterHooks
    from kombu_pool.storage.queues import QueueController
    from kombu_pool.storage.subscriptions import SubscriptionController


class DataDriver(ABC):
    """A message store, or pooling over several."""

    capabilities: tuple[Capabilities, ...]
    queue_controller: QueueController
    message_controller: MessageController
    claim_controller: ClaimController
    subscription_controller: SubscriptionController
    move_controller: MoveController = MoveController()

    #: The hooks that the driver was opened with.
    dead_letter_hooks: DeadLetterHooks

    def connect_controllers(self) -> None:
        """Give the controllers each other, for the defaults of the contract that need it; called on opening."""
        self.message_controller.queues = self.queue_controller
        self.message_controller.claims = self.claim_controller
        self.claim_controller.messages = self.message_controller

    @property
    def identity(self) -> str:
        """A random id, made with the store and the same for every driver of it; "" if the store has none."""
        return ""

    def watch(self, queues: Iterable[tuple[Project, str]]) -> Watch:
        """Return a watch of these (project, queue) pairs; the queues need not exist."""
        return PollingWatch(self.message_controller, queues)

    def part_of(self, queue: str, project: Project = None) -> str | None:
        """Return the part of the store that holds a queue; None if a store is reachable as a whole or not at all.

        A part that is unreachable raises PartUnavailable, and says nothing of the others. No request is made.
        """
        return None

    def is_alive(self) -> bool:
        """Return whether the store answers. Never raises."""
        return bool(self.health()["storage_reachable"])

    @abstractmethod
    def health(self) -> dict[str, Any]:
        """Return the store's health: ``{"storage_reachable": bool, ...}``. Never raises."""

    @abstractmethod
    def dead_letter_all(self) -> int:
        """Dead-letter the dead messages of all queues, also those that expired in an unused one; return their number.

        A post, a claim and a reject do this for their own queue. Without a dead message the call costs next to
        nothing, however many queues and messages there are.
        """

    def redrive(
        self,
        queue: str,
        project: Project = None,
        *,
        target: str | None = None,
        limit: int = 0,
        reasons: Collection[str] | None = None,
        origins: Collection[str] | None = None,
        message_ids: Collection[str] | None = None,
        progress: Callable[[RedriveResult], bool | None] | None = None,
    ) -> RedriveResult:
        """Move dead letters out of ``queue``: each into the queue that it came from, or all into ``target``.

        Candidates are the free messages with a ``dead_letter`` header, without ``unreadable`` ones. ``reasons`` keeps
        those with one of these reasons, ``origins`` those from one of these queues (the last one, after several
        deaths), ``message_ids`` those with these ids; ``limit`` bounds their number, 0 means all.

        Dead letters move in the order of the dead-letter queue. They keep body and priority, and start as new messages:
        at the end of the queue, free at once, with a ``claim_count`` of 0, no header, and no ttl but their queue's
        default. A body's own record of its deaths is kept, and continued if the message dies again.

        Each is claimed, stored in its target, and only then deleted here under its claim: no other consumer receives
        it meanwhile, and no crash loses it. A process that crashes in between, or is suspended for more than a minute,
        leaves up to 100 of them in both queues; a redriven message is delivered at least once. The work is done in
        batches of at most 100 messages and examines no more messages than were free at the start: so it ends even if
        the redriven messages die again at once. Messages that stay are not claimed, except for those that their target
        refused: they are released, with one more ``claim_count``.

        A dead letter whose target is absent, full, unreachable or refuses it stays, and is counted in ``remaining``; a
        failing target does not stop the others. After a target was full or unreachable, no further message is tried on
        it. A target counts as unreachable after two failures; the second try stores nothing that the first one stored.
        A message that stays for that reason may still be in the target, if only the replies were lost.

        ``progress`` is called after each batch with the result so far; the redrive ends if it returns True.

        Raises:
            QueueDoesNotExist: the queue, or the ``target``, does not exist.
            CorruptRecord: one of the messages cannot be decoded; those before its batch have moved. A claim
                dead-letters such a message.
            ConnectionError: the queue's own store is unreachable; the last batch may be in both queues.
        """
        return Redrive(
            self.queue_controller,
            self.message_controller,
            self.claim_controller,
            self.dead_letter_hooks.restore_address,
            queue,
            project,
            target,
            DeadLetterFilter(reasons, origins, message_ids),
            limit,
        ).run(progress)

    def gc(self) -> int:
        """Remove expired messages, ended claims and the remains of deleted queues; return the number of rows."""
        return 0

    @abstractmethod
    def close(self) -> None:
        """Close the store. Idempotent."""
