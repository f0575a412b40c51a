"""The contract of messages, claims and subscriptions of the queues that live in one store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from kombu_pool.storage.queue_metadata import DEFAULT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kombu_pool.model import Claim, ClaimMetadata, IdempotencyKey, Message, NewMessage, Project, Subscription


class MessageController(ABC):
    """The messages of a store."""

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

        The messages are durable when this returns. ``client_uuid`` (any value with a text form, or None) names the
        producer for ``list(echo=False)``. Without messages nothing is stored, and ``[]`` is returned.

        In a queue with ``_max_length`` or ``_max_length_bytes`` the first free messages make room for the new ones, in
        the same step: they become dead, or are deleted if the queue names no target for dead letters. Delayed and
        claimed messages are not counted. They may exceed the limit when they become free, as may a dead letter that is
        stored in this queue; the next post makes room for these, too.

        With an ``idempotency_key`` a producer can retry a post whose result it does not know: the same messages with
        the same key are stored once, and the same ids are returned. This holds when the messages have been consumed or
        deleted meanwhile, and while the first try is still under way. A queue keeps the last key of each producer for
        at least :data:`~kombu_pool.storage.IDEMPOTENCY_WINDOW` seconds.

        Raises:
            QueueDoesNotExist: the queue does not exist.
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

        The filters apply before the limit. An absent queue or an unknown marker gives an empty page.
        """

    @abstractmethod
    def get(self, queue: str, message_id: str, project: Project = None) -> Message:
        """Return one message in any state but expired.

        Raises:
            QueueDoesNotExist, MessageDoesNotExist: the queue, or the message in it, does not exist.
        """

    @abstractmethod
    def first(self, queue: str, project: Project = None, sort: int = 1) -> Message:
        """Return the first free message in order, or the last with ``sort`` -1.

        Raises:
            QueueDoesNotExist: the queue does not exist.
            QueueIsEmpty: the queue has no free message.
            ValueError: ``sort`` is neither 1 nor -1.
        """

    @abstractmethod
    def bulk_get(self, queue: str, message_ids: Iterable[str], project: Project = None) -> Sequence[Message]:
        """Return those of the messages that exist."""

    @abstractmethod
    def delete(self, queue: str, message_id: str, project: Project = None, claim: str | None = None) -> None:
        """Delete a message; a claimed one only under its claim. An absent queue or message is no error.

        Raises:
            MessageIsClaimed: a live claim holds it and ``claim`` is None.
            MessageNotClaimedBy: a live claim holds it, but not ``claim``, which is live too.
            MessageNotClaimed: ``claim`` is given, but no live claim holds the message.
            ClaimDoesNotExist: ``claim`` is malformed; or ``claim`` is unknown and a live claim holds the message.
        """

    @abstractmethod
    def bulk_delete(
        self, queue: str, message_ids: Iterable[str], project: Project = None, claim_ids: Sequence[str] | None = None
    ) -> None:
        """Delete messages: in any state without ``claim_ids``, else only if those claims hold them all.

        Unknown messages are skipped.

        Raises:
            MessageNotClaimed: ``claim_ids`` are given and one of the messages is not claimed; none was deleted.
            ClaimDoesNotMatch: a claim that is not listed holds one of them; none was deleted.
        """

    @abstractmethod
    def pop(self, queue: str, limit: int, project: Project = None) -> Sequence[Message]:
        """Claim up to ``limit`` free messages and delete them, in one step; ``claim_count`` includes this claim."""

    # Beyond Zaqar's contract.

    @abstractmethod
    def delete_claimed(
        self, queue: str, held: Sequence[tuple[str, str]], project: Project = None
    ) -> Sequence[tuple[str, str]]:
        """Delete, in one step, each (message id, claim id) whose live claim still holds the message.

        A claim ends with its last message.

        Returns:
            The pairs that were not deleted: the claim has ended, or never held the message. A message that another
            process deleted while the claim held it may count as deleted.
        """

    @abstractmethod
    def reject(self, queue: str, held: Sequence[tuple[str, str]], project: Project = None) -> Sequence[tuple[str, str]]:
        """Dead-letter each (message id, claim id) whose live claim still holds the message.

        Returns as :meth:`delete_claimed` does; without a target for dead letters it deletes them likewise.
        """

    @abstractmethod
    def purge(self, queue: str, project: Project = None) -> int:
        """Delete every message that is not claimed; return their number. Absent queue: 0."""

    @abstractmethod
    def count(self, queue: str, project: Project = None) -> int:
        """Count the free messages. Absent queue: 0."""


class ClaimController(ABC):
    """Claims of messages, each for one holder at a time."""

    @abstractmethod
    def create(
        self, queue: str, metadata: ClaimMetadata, project: Project = None, limit: int = DEFAULT_LIMIT
    ) -> tuple[str | None, Sequence[Message]]:
        """Claim up to ``limit`` free messages, in order; return the claim's id and the messages.

        Atomic: no two claims ever hold one message. Each claim adds one to ``claim_count``, and the returned messages
        include it. A message that would expire before the claim is kept until the claim's end plus
        ``metadata["grace"]`` seconds, and its ttl becomes the claim's plus ``grace``. Without a free message, with
        ``limit`` 0 and for an absent queue it returns ``(None, [])`` and writes nothing.

        A message that has been claimed ``_max_claim_count`` times is dead-lettered instead, as the package's docstring
        specifies, and the messages behind it are claimed.

        A record that cannot be decoded is dead-lettered likewise, to ``_dead_letter_queue`` or to
        :data:`UNREADABLE_QUEUE`, with the body ``{"record": the bytes, "error": the error's text}``; the messages
        behind it are claimed. Any other read of such a record raises :class:`~kombu_pool.errors.CorruptRecord`.
        """

    @abstractmethod
    def get(self, queue: str, claim_id: str, project: Project = None) -> tuple[Claim, Sequence[Message]]:
        """Return the claim and the messages that it still holds, in order.

        Raises:
            ClaimDoesNotExist: the claim has ended or never existed; a claim ends when its last message is deleted.
        """

    @abstractmethod
    def update(self, queue: str, claim_id: str, metadata: ClaimMetadata, project: Project = None) -> None:
        """Renew the claim: it ends ``metadata["ttl"]`` seconds from now.

        A message that would expire before the claim is kept until the claim's end plus ``grace`` seconds.

        Raises:
            ClaimDoesNotExist: the claim has ended; another claim may hold its messages.
        """

    @abstractmethod
    def delete(self, queue: str, claim_id: str, project: Project = None) -> None:
        """End the claim and free its messages at once, at their old places. Idempotent."""

    # Beyond Zaqar's contract.

    @abstractmethod
    def ack_and_claim(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        metadata: ClaimMetadata,
        project: Project = None,
        limit: int = DEFAULT_LIMIT,
    ) -> tuple[Sequence[tuple[str, str]], str | None, Sequence[Message]]:
        """Delete held messages and claim the next ones, in one round trip where the store can.

        Deletes each (message id, claim id) of ``held`` as :meth:`MessageController.delete_claimed` does, then claims as
        :meth:`create` does, and returns the results of both.
        """

    @abstractmethod
    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project = None
    ) -> tuple[str | None, Sequence[Message]]:
        """Claim those of the messages that are free, wherever they stand; return as :meth:`create` does.

        Nothing is dead-lettered: a message at its delivery limit is claimed, and one that cannot be decoded is
        skipped.
        """

    @abstractmethod
    def release(self, queue: str, claim_id: str, message_ids: Iterable[str], project: Project = None) -> int:
        """Free those of the messages that the claim holds, at their old places; return their number."""


class SubscriptionController(ABC):
    """The subscriptions to a queue's messages.

    Every method raises :class:`~kombu_pool.errors.QueueDoesNotExist` for an absent queue, except ``delete``,
    ``exists`` and ``list``.
    """

    @abstractmethod
    def list(
        self, queue: str, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Iterator[Any]:
        """List the queue's live subscriptions, by id."""

    @abstractmethod
    def get(self, queue: str, subscription_id: str, project: Project = None) -> Subscription:
        """Return one subscription.

        Raises:
            SubscriptionDoesNotExist: it does not exist, belongs to another queue, or has expired.
        """

    @abstractmethod
    def get_with_subscriber(self, queue: str, subscriber: str, project: Project = None) -> Subscription:
        """Return the subscription of that subscriber; raise as :meth:`get` does."""

    @abstractmethod
    def create(
        self, queue: str, subscriber: str, ttl: float, options: Mapping[str, Any], project: Project = None
    ) -> str | None:
        """Create an unconfirmed subscription and return its id; None if the subscriber has one already."""

    @abstractmethod
    def update(self, queue: str, subscription_id: str, project: Project = None, **kwargs: Any) -> None:
        """Change ``subscriber``, ``ttl`` or ``options``; a new ttl counts from now.

        Raises:
            SubscriptionDoesNotExist: it does not exist.
            SubscriptionAlreadyExists: the new subscriber has a subscription already.
            ConfigurationError: no change is named, or the change of another field.
        """

    @abstractmethod
    def exists(self, queue: str, subscription_id: str, project: Project = None) -> bool:
        """Return whether the subscription exists."""

    @abstractmethod
    def delete(self, queue: str, subscription_id: str, project: Project = None) -> None:
        """Delete the subscription. Idempotent."""

    @abstractmethod
    def confirm(self, queue: str, subscription_id: str, project: Project = None, confirmed: bool | None = None) -> None:
        """Mark the subscription as confirmed (True or None) or as not confirmed (False).

        Raises:
            SubscriptionDoesNotExist: it does not exist.
        """
