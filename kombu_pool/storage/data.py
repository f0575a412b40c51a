"""The contract of messages, claims and subscriptions of the queues that live in one store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from kombu_pool.storage.queue_metadata import DEFAULT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kombu_pool.model import Claim, ClaimMetadata, IdempotencyKey, Message, NewMessage, Project, Subscription


class MessageController(ABC):
    """Keeps messages."""

    @abstractmethod
    def post(
        self,
        queue: str,
        messages: Iterable[NewMessage],
        client_uuid: object,
        project: Project = None,
        *,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Sequence[str]:
        """Store the messages, all of them or none, and return their ids in the order given.

        They are stored for good when this returns. ``client_uuid`` (anything with a text, or None) names the poster
        for ``list(echo=False)``. Without messages: nothing happens, ``[]``.

        In a queue of ``_max_length`` or ``_max_length_bytes`` the first free messages in line make room for them, in
        the same step: they are dead, or gone if the queue has nowhere for dead letters to go. What is delayed or
        claimed is not counted, and may make the queue longer when it comes back, as a dead letter that is buried in it
        may; the next post makes room for that, too.

        With a ``idempotency_key``, a process can make a post again of which it did not hear whether it had been made: the same
        messages with the same ticket are stored once, and the same ids are returned, whatever became of the messages
        meanwhile, and if the first try is still on its way, too. A queue remembers the last ticket of each poster, for
        :data:`~kombu_pool.storage.IDEMPOTENCY_WINDOW` seconds at least.

        Raises:
            QueueDoesNotExist: there is no such queue.
            QueueIsFull: ``_overflow`` is ``reject-publish``, and there is no room for all of them; none was stored.
            MessageNotEncodable, MessageTooLarge, InvalidMessage: a message cannot be stored; none was.
        """

    @abstractmethod
    def list(
        self,
        queue: str,
        project: Project = None,
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        echo: bool = False,
        client_uuid: object = None,
        include_claimed: bool = False,
        include_delayed: bool = False,
    ) -> Iterator[Any]:
        """List messages in order; unless ``echo``, without those that ``client_uuid`` posted.

        The filters come before the limit. Absent queue: an empty page. An unknown marker: an empty page.
        """

    @abstractmethod
    def get(self, queue: str, message_id: str, project: Project = None) -> Message:
        """Return one message, in whichever state but expired.

        Raises:
            QueueDoesNotExist, MessageDoesNotExist: there is no such queue, or no such message in it.
        """

    @abstractmethod
    def first(self, queue: str, project: Project = None, sort: int = 1) -> Message:
        """Return the first free message in order, or the last with ``sort`` -1.

        Raises:
            QueueDoesNotExist: there is no such queue.
            QueueIsEmpty: it has no free message.
            ValueError: ``sort`` is neither 1 nor -1.
        """

    @abstractmethod
    def bulk_get(self, queue: str, message_ids: Iterable[str], project: Project = None) -> Sequence[Message]:
        """Return those of the messages that are there."""

    @abstractmethod
    def delete(self, queue: str, message_id: str, project: Project = None, claim: str | None = None) -> None:
        """Delete a message; a claimed one only under its claim. An absent queue or message: nothing happens.

        Raises:
            MessageIsClaimed: a live claim holds it and ``claim`` is None.
            MessageNotClaimedBy: a live claim holds it, and it is not ``claim``, which lives too.
            MessageNotClaimed: ``claim`` is given, but no live claim holds the message.
            ClaimDoesNotExist: ``claim`` is malformed; or it is unknown while a live claim holds the message.
        """

    @abstractmethod
    def bulk_delete(
        self, queue: str, message_ids: Iterable[str], project: Project = None, claim_ids: Sequence[str] | None = None
    ) -> None:
        """Delete messages: whatever their state without ``claim_ids``, else only if those claims hold them all.

        Unknown messages are passed over.

        Raises:
            MessageNotClaimed: ``claim_ids`` are given and one of the messages is not claimed; none was deleted.
            ClaimDoesNotMatch: one of them is held by a claim that is not listed; none was deleted.
        """

    @abstractmethod
    def pop(self, queue: str, limit: int, project: Project = None) -> Sequence[Message]:
        """Claim up to ``limit`` free messages and delete them, in one step. Counts as a lending."""

    # Ours, beyond Zaqar's.

    @abstractmethod
    def delete_claimed(
        self, queue: str, held: Sequence[tuple[str, str]], project: Project = None
    ) -> Sequence[tuple[str, str]]:
        """Delete, in one step, each (message id, claim id) whose live claim still holds the message.

        A claim whose last message goes ends with it.

        Returns:
            Those that were not deleted: the claim has ended, or never held the message. One that somebody else deleted
            though the claim holds it may be counted as deleted.
        """

    @abstractmethod
    def reject(self, queue: str, held: Sequence[tuple[str, str]], project: Project = None) -> Sequence[tuple[str, str]]:
        """Dead-letter each (message id, claim id) whose live claim still holds the message.

        In a queue that has nowhere for dead letters to go, and for the rest: as :meth:`delete_claimed`.
        """

    @abstractmethod
    def purge(self, queue: str, project: Project = None) -> int:
        """Delete every message that is not claimed, and return how many they were. Absent queue: 0."""

    @abstractmethod
    def count(self, queue: str, project: Project = None) -> int:
        """Count the free messages. Absent queue: 0."""


class ClaimController(ABC):
    """Lends messages to one holder at a time."""

    @abstractmethod
    def create(
        self, queue: str, metadata: ClaimMetadata, project: Project = None, limit: int = DEFAULT_LIMIT
    ) -> tuple[str | None, Sequence[Message]]:
        """Lend up to ``limit`` free messages, in order, and return the claim's id and them.

        Atomic: no two claims ever hold one message. Each lending adds one to ``claim_count``, which the messages
        returned show. A message that would expire before the claim is kept until the claim's end plus
        ``metadata["grace"]`` seconds, and its ttl becomes the claim's plus ``grace``. Nothing to lend, a limit of 0, or
        no such queue: ``(None, [])``, and nothing is written.

        A message that was lent as often as ``_max_claim_count`` says is dead-lettered instead, as the package's
        docstring has it, and those behind it are lent.

        A record that cannot be decoded is set aside likewise, in ``_dead_letter_queue`` or in
        :data:`UNREADABLE_QUEUE`, its body ``{"record": the bytes, "error": why}``; the messages behind it are lent.
        Reading such a record otherwise raises :class:`~kombu_pool.errors.CorruptRecord`.
        """

    @abstractmethod
    def get(self, queue: str, claim_id: str, project: Project = None) -> tuple[Claim, Sequence[Message]]:
        """Return the claim and the messages that it still holds, in order.

        Raises:
            ClaimDoesNotExist: it has ended, or never was; a claim whose last message was deleted has ended.
        """

    @abstractmethod
    def update(self, queue: str, claim_id: str, metadata: ClaimMetadata, project: Project = None) -> None:
        """Let the claim live ``metadata["ttl"]`` seconds from now.

        A message of it that would expire before the claim does is kept until the claim's end plus ``grace`` seconds.

        Raises:
            ClaimDoesNotExist: it has ended; its messages may be someone else's now.
        """

    @abstractmethod
    def delete(self, queue: str, claim_id: str, project: Project = None) -> None:
        """End the claim: its messages are free at once, where they stood. Idempotent."""

    # Ours, beyond Zaqar's.

    @abstractmethod
    def ack_and_claim(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        metadata: ClaimMetadata,
        project: Project = None,
        limit: int = DEFAULT_LIMIT,
    ) -> tuple[Sequence[tuple[str, str]], str | None, Sequence[Message]]:
        """Give up what is done for what is next: in one round trip, where that saves one.

        Deletes each (message id, claim id) of ``held`` as :meth:`MessageController.delete_claimed` does, then lends as
        :meth:`create` does, and returns what both of them return.
        """

    @abstractmethod
    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project = None
    ) -> tuple[str | None, Sequence[Message]]:
        """Lend those of the messages that are free, wherever they stand, and return as :meth:`create` does.

        One that was lent as often as ``_max_claim_count`` says is lent all the same, and one that cannot be decoded is
        passed over: nothing is dead-lettered.
        """

    @abstractmethod
    def release(self, queue: str, claim_id: str, message_ids: Iterable[str], project: Project = None) -> int:
        """Free some of the claim's messages, where they stood, and return how many; those it does not hold: none."""


class SubscriptionController(ABC):
    """Remembers who wants to be told of a queue's messages.

    Every method raises :class:`~kombu_pool.errors.QueueDoesNotExist` for an absent queue, but ``delete``, ``exists``
    and ``list``, which have nothing to do there.
    """

    @abstractmethod
    def list(
        self, queue: str, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Iterator[Any]:
        """List the queue's living subscriptions, by id."""

    @abstractmethod
    def get(self, queue: str, subscription_id: str, project: Project = None) -> Subscription:
        """Return one.

        Raises:
            SubscriptionDoesNotExist: it is not there, or of another queue, or has expired.
        """

    @abstractmethod
    def get_with_subscriber(self, queue: str, subscriber: str, project: Project = None) -> Subscription:
        """Return the one of that subscriber; raises as :meth:`get` does."""

    @abstractmethod
    def create(
        self, queue: str, subscriber: str, ttl: float, options: Mapping[str, Any], project: Project = None
    ) -> str | None:
        """Add a subscription, not yet confirmed, and return its id; None when the subscriber has one already."""

    @abstractmethod
    def update(self, queue: str, subscription_id: str, project: Project = None, **kwargs: Any) -> None:
        """Change ``subscriber``, ``ttl`` or ``options``; a new ttl counts from now.

        Raises:
            SubscriptionDoesNotExist: it is not there.
            SubscriptionAlreadyExists: the new subscriber has a subscription already.
            ConfigurationError: nothing to change is named, or something else is.
        """

    @abstractmethod
    def exists(self, queue: str, subscription_id: str, project: Project = None) -> bool:
        """Tell whether it is there."""

    @abstractmethod
    def delete(self, queue: str, subscription_id: str, project: Project = None) -> None:
        """Remove it. Idempotent."""

    @abstractmethod
    def confirm(self, queue: str, subscription_id: str, project: Project = None, confirmed: bool | None = None) -> None:
        """Mark it as confirmed, which None means too, or with False as not confirmed.

        Raises:
            SubscriptionDoesNotExist: it is not there.
        """
