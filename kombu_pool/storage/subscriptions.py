"""The contract of the subscriptions to the queues that live in one store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import NotPermitted, SubscriptionDoesNotExist
from kombu_pool.storage.queue_metadata import DEFAULT_LIMIT, is_found

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.model import Project, Subscription


class SubscriptionController(ABC):
    """The subscriptions to a queue's messages.

    A subscription may be created before its queue, and is there once the queue is created. It ends with the queue.
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

    def get_with_subscriber(self, queue: str, subscriber: str, project: Project = None) -> Subscription:
        """Return the subscription of that subscriber; raise as :meth:`get` does."""
        for subscription in next(self.list(queue, project, limit=0)):
            if subscription["subscriber"] == subscriber:
                found: Subscription = subscription
                return found
        raise SubscriptionDoesNotExist(subscriber)

    @abstractmethod
    def create(
        self, queue: str, subscriber: str, ttl: float, options: Mapping[str, Any], project: Project = None
    ) -> str | None:
        """Create an unconfirmed subscription and return its id; None if the subscriber has one already.

        Pooling assigns a queue without an assignment to a pool without a flavor.
        """

    @abstractmethod
    def update(self, queue: str, subscription_id: str, project: Project = None, **kwargs: Any) -> None:
        """Change ``subscriber``, ``ttl`` or ``options``; a new ttl counts from now.

        Raises:
            SubscriptionDoesNotExist: it does not exist.
            SubscriptionAlreadyExists: the new subscriber has a subscription already.
            ConfigurationError: no change is named, or the change of another field.
        """

    def export(self, queue: str, project: Project = None) -> bytes:
        """Return the subscriptions of a queue in a form that :meth:`restore` of any store takes; b"" for none."""
        return b""

    def restore(self, queue: str, subscriptions: bytes, project: Project = None) -> None:
        """Replace the subscriptions of a queue by exported ones. Idempotent."""
        if subscriptions:
            raise NotPermitted(f"queue {queue!r}: its store cannot take the subscriptions of another one")

    def exists(self, queue: str, subscription_id: str, project: Project = None) -> bool:
        """Return whether the subscription exists."""
        return is_found(self.get, queue, subscription_id, project)

    @abstractmethod
    def delete(self, queue: str, subscription_id: str, project: Project = None) -> None:
        """Delete the subscription. Idempotent."""

    @abstractmethod
    def confirm(self, queue: str, subscription_id: str, project: Project = None, confirmed: bool | None = None) -> None:
        """Mark the subscription as confirmed (True or None) or as not confirmed (False).

        Raises:
            SubscriptionDoesNotExist: it does not exist.
        """
