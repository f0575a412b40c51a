"""Subscriptions over many pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool import storage
from kombu_pool.pooling.controllers.routing import Routing
from kombu_pool.storage import DEFAULT_LIMIT, page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.model import Project, Subscription


class SubscriptionController(Routing, storage.SubscriptionController):
    """Remembers subscriptions in the pools of their queues."""

    def list(
        self, queue: str, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Iterator[Any]:
        member = self._pool(queue, project)
        if member is None:
            return page([], str)
        with member:
            return member.subscriptions.list(queue, project, marker, limit)

    def get(self, queue: str, subscription_id: str, project: Project = None) -> Subscription:
        with self._home(queue, project) as member:
            return member.subscriptions.get(queue, subscription_id, project)

    def get_with_subscriber(self, queue: str, subscriber: str, project: Project = None) -> Subscription:
        with self._home(queue, project) as member:
            return member.subscriptions.get_with_subscriber(queue, subscriber, project)

    def create(
        self, queue: str, subscriber: str, ttl: float, options: Mapping[str, Any], project: Project = None
    ) -> str | None:
        with self._home(queue, project) as member:
            return member.subscriptions.create(queue, subscriber, ttl, options, project)

    def update(self, queue: str, subscription_id: str, project: Project = None, **kwargs: Any) -> None:
        with self._home(queue, project) as member:
            member.subscriptions.update(queue, subscription_id, project, **kwargs)

    def exists(self, queue: str, subscription_id: str, project: Project = None) -> bool:
        member = self._pool(queue, project)
        if member is None:
            return False
        with member:
            return member.subscriptions.exists(queue, subscription_id, project)

    def delete(self, queue: str, subscription_id: str, project: Project = None) -> None:
        member = self._pool(queue, project)
        if member is not None:
            with member:
                member.subscriptions.delete(queue, subscription_id, project)

    def confirm(self, queue: str, subscription_id: str, project: Project = None, confirmed: bool | None = None) -> None:
        with self._home(queue, project) as member:
            member.subscriptions.confirm(queue, subscription_id, project, confirmed)
