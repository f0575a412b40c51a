"""The contract of a message store as a whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from kombu_pool.storage.redrive import DeadLetterFilter, Redrive

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from kombu_pool.model import Capabilities, Project, RedriveResult
    from kombu_pool.storage.data import ClaimController, MessageController, SubscriptionController
    from kombu_pool.storage.dead_letters import DeadLetterHooks
    from kombu_pool.storage.queues import QueueController


class Watch(ABC):
    """Waits until some of a set of queues may have something to claim."""

    @abstractmethod
    def wait(self, timeout: float) -> bool:
        """Return True as soon as something may have become claimable, or :meth:`interrupt` was called; else False.

        What became claimable since the last ``wait`` counts, so nothing is missed between two of them. Delays and
        claims that end count too, and so do messages that are dead since they expired. May return True for nothing.
        One thread waits at a time. An idle wait costs next to no CPU.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """Make the current or the next :meth:`wait` return at once. From any thread."""

    @abstractmethod
    def close(self) -> None:
        """Give up what the watch holds. Idempotent."""


class DataDriver(ABC):
    """A message store, or pooling over many."""

    capabilities: tuple[Capabilities, ...]
    queue_controller: QueueController
    message_controller: MessageController
    claim_controller: ClaimController
    subscription_controller: SubscriptionController

    #: The hooks that the driver was opened with.
    dead_letter_hooks: DeadLetterHooks

    @property
    def identity(self) -> str:
        """A random id that was made with the store: the same for every driver of the store; "" if it has none.

        By it, two URIs of one store are told from two stores.
        """
        return ""

    @abstractmethod
    def watch(self, queues: Iterable[tuple[Project, str]]) -> Watch:
        """Watch these (project, queue) pairs, existing or not."""

    @abstractmethod
    def is_alive(self) -> bool:
        """Tell whether the store answers. Never raises."""

    @abstractmethod
    def health(self) -> dict[str, Any]:
        """Say how the store does: ``{"storage_reachable": bool, ...}``. Never raises."""

    @abstractmethod
    def dead_letter_all(self) -> int:
        """Dead-letter what is dead in any queue, also what expired where nobody looks; return how many were buried.

        A post, a claim or a rejection does so by itself for its own queue. Costs next to nothing where there is
        nothing to do, however many queues and messages there are.
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
        """Give dead letters back: out of ``queue``, into the queue that each came from, or all into ``target``.

        Which: the free messages that have a ``dead_letter`` header; with ``reasons`` those that died of one of them,
        with ``origins`` those that came from one of these queues, with ``message_ids`` those of these ids; up to
        ``limit`` of them, 0 for all. Those that died on their way say the queue of their last death. What is delayed
        or claimed, what is no dead letter, and the record of an ``unreadable`` one, which is no message, stays.

        They go in the order of the dead-letter queue, keep their bodies and their priorities, and begin anew: at the
        end of the line, free at once, with a ``claim_count`` of 0, no header, and no ttl but what their queue gives its
        messages. What a body tells of its deaths is kept, and told on if it dies again.

        Each is claimed, stored there, and only then removed here under its claim: nobody else has it meanwhile, and
        none is lost whoever dies. A process that dies in between leaves up to 100 of them in both queues, as does one
        that was stopped for longer than a minute; what is given back runs at least once. It takes steps of
        100 messages, whose number and size bound them, and looks at no more messages than were free when it began: so
        it ends, though what it gives back may die again at once. Nothing that stays is claimed, unless it was refused
        after all: then it is released, and was lent once more.

        A letter whose queue does not exist, takes no more, cannot be reached or refuses it stays, and is counted; one
        queue's trouble stops no other. Behind the first that finds its queue full or out of reach none is tried. To be
        out of reach is to fail twice: the second try stores nothing that the first one stored. What was left for that
        reason may be there all the same, if only the answers got lost.

        ``progress`` is called after each step with what was done so far; it ends there if that returns True.

        Raises:
            QueueDoesNotExist: there is no such queue, or no such ``target``.
            CorruptRecord: one of the messages cannot be decoded; those before its step went. A claim sets it aside.
            ConnectionError: the queue's own store is out of reach; the last step may be in both queues.
        """
        dead_letter_filter = DeadLetterFilter(reasons, origins, message_ids)
        return Redrive(self, queue, project, target, dead_letter_filter, limit).run(progress)

    @abstractmethod
    def gc(self) -> int:
        """Collect expired messages, ended claims and the rest of deleted queues; return how many rows went."""

    @abstractmethod
    def close(self) -> None:
        """Close the store. Idempotent."""
