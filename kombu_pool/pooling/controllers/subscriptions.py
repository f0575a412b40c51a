"""Subscriptions over many pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool import storage
from kombu_pool.errors import SubscriptionDoesNotExist
from kombu_pool.pooling.controllers.routing import Routing
from kombu_pool.storage import DEFAULT_LIMIT, page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.model import Project, Subscription
    from kombu_pool.pooling.pool_handle import PoolHandle


class SubscriptionController(Routing, storage.SubscriptionController):
    """Stores subscriptions in the pools of their queues."""

    def list(
        self, queue: str, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Iterator[Any]:
        pool = self._pool(queue, project)
        if pool is None:
            return page([], str)
        with pool:
            return pool.subscriptions.list(queue, project, marker, limit)

    def get(self, queue: str, subscription_id: str, project: Project = None) -> Subscription:
        with self._subscribed(queue, project, subscription_id) as pool:
            return pool.subscriptions.get(queue, subscription_id, project)

    def get_with_subscriber(self, queue: str, subscriber: str, project: Project = None) -> Subscription:
        with self._subscribed(queue, project, subscriber) as pool:
            return pool.subscriptions.get_with_subscriber(queue, subscriber, project)

    def create(
        self, queue: str, subscriber: str, ttl: float, options: Mapping[str, Any], project: Project = None
    ) -> str | None:
        with self._pool(queue, project) or self._catalog.register_and_open(queue, project) as pool:
            return pool.subscriptions.create(queue, subscriber, ttl, options, project)

    def update(self, queue: str, subscription_id: str, project: Project = None, **kwargs: Any) -> None:
        with self._subscribed(queue, project, subscription_id) as pool:
            pool.subscriptions.update(queue, subscription_id, project, **kwargs)

    def exists(self, queue: str, subscription_id: str, project: Project = None) -> bool:
        pool = self._pool(queue, project)
        if pool is None:
            return False
        with pool:
            return pool.subscriptions.exists(queue, subscription_id, project)

    def delete(self, queue: str, subscription_id: str, project: Project = None) -> None:
        pool = self._pool(queue, project)
        if pool is not None:
            with pool:
                pool.subscriptions.delete(queue, subscription_id, project)

    def confirm(self, queue: str, subscription_id: str, project: Project = None, confirmed: bool | None = None) -> None:
        with self._subscribed(queue, project, subscription_id) as pool:
            pool.subscriptions.confirm(queue, subscription_id, project, confirmed)

    def _subscribed(self, queue: str, project: Project, sought: str) -> PoolHandle:
        """Return the queue's pool; raise SubscriptionDoesNotExist when the queue has no assignment."""
        pool = self._pool(queue, project)
        if pool is None:
            raise SubscriptionDoesNotExist(sought)
        return pool
