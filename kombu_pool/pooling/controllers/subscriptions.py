"""Subscriptions over many pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool import storage
from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.pooling.controllers.routing import Routing
from kombu_pool.storage import DEFAULT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kombu_pool.model import Project, Subscription
    from kombu_pool.pooling.pool_handle import PoolHandle


class SubscriptionController(Routing, storage.SubscriptionController):
    """Stores subscriptions in the pools of their queues."""

    def list(
        self, queue: str, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Iterator[Any]:
        with self._pool(queue, project) as pool:
            return pool.subscriptions.list(queue, project, marker, limit)

    def get(self, queue: str, subscription_id: str, project: Project = None) -> Subscription:
        with self._pool(queue, project) as pool:
            return pool.subscriptions.get(queue, subscription_id, project)

    def get_with_subscriber(self, queue: str, subscriber: str, project: Project = None) -> Subscription:
        with self._pool(queue, project) as pool:
            return pool.subscriptions.get_with_subscriber(queue, subscriber, project)

    def create(
        self, queue: str, subscriber: str, ttl: float, options: Mapping[str, Any], project: Project = None
    ) -> str | None:
        if self._pool(queue, project) is self._catalog.unassigned:
            self._catalog.register(queue, project)
        created: list[str | None] = []

        def create(pool: PoolHandle) -> None:
            found = pool.subscriptions.create(queue, subscriber, ttl, options, project)
            # One that was created before the queue moved went along.
            created.append(found or next(iter(created), None))

        self._change(queue, project, create)
        return created[-1]

    def update(self, queue: str, subscription_id: str, project: Project = None, **kwargs: Any) -> None:
        self._change(queue, project, lambda pool: pool.subscriptions.update(queue, subscription_id, project, **kwargs))

    def exists(self, queue: str, subscription_id: str, project: Project = None) -> bool:
        with self._pool(queue, project) as pool:
            return pool.subscriptions.exists(queue, subscription_id, project)

    def delete(self, queue: str, subscription_id: str, project: Project = None) -> None:
        self._change(queue, project, lambda pool: pool.subscriptions.delete(queue, subscription_id, project))

    def confirm(self, queue: str, subscription_id: str, project: Project = None, confirmed: bool | None = None) -> None:
        self._change(
            queue, project, lambda pool: pool.subscriptions.confirm(queue, subscription_id, project, confirmed)
        )

    def _change(self, queue: str, project: Project, call: Callable[[PoolHandle], None]) -> None:
        try:
            self._in_present_pool(queue, project, call)
        except QueueDoesNotExist:
            # A subscription may come before its queue.
            with self._pool(queue, project) as pool:
                call(pool)
