"""Subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.memory.codec import StoredSubscription, decode_mapping, encode_mapping
from kombu_pool.errors import SubscriptionAlreadyExists, SubscriptionDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import SubscriptionController as Contract
from kombu_pool.storage.validation import check_subscription_changes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.store import DataStore
    from kombu_pool.model import Project, Subscription


class SubscriptionController(Contract):
    """Subscriptions of an in-memory store."""

    def __init__(self, store: DataStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def list(
        self, queue: str, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Iterator[Any]:
        after = int(marker) if marker and marker.isdecimal() else 0
        if marker and not after:
            return page([], str)
        with self._store.lock:
            now = self._clock.time()
            live = self._live(queue, project, now).values()
            listed = [subscription for subscription in live if subscription.sequence > after]
            views = [_view(queue, subscription, now) for subscription in listed[: limit or None]]
        return page(views, lambda item: str(item["id"]))

    def get(self, queue: str, subscription_id: str, project: Project = None) -> Subscription:
        with self._store.lock:
            now = self._clock.time()
            return _view(queue, self._require(queue, subscription_id, project, now), now)

    def get_with_subscriber(self, queue: str, subscriber: str, project: Project = None) -> Subscription:
        with self._store.lock:
            now = self._clock.time()
            found = _of(subscriber, self._live(queue, project, now))
            if found is None:
                raise SubscriptionDoesNotExist(subscriber)
            return _view(queue, found, now)

    def create(
        self, queue: str, subscriber: str, ttl: float, options: Mapping[str, Any], project: Project = None
    ) -> str | None:
        with self._store.lock:
            now = self._clock.time()
            live = self._live(queue, project, now)
            if _of(subscriber, live) is not None:
                return None
            new = StoredSubscription(self._store.next_id(), subscriber, ttl or 0, now, now, encode_mapping(options))
            self._store.subscriptions[project, queue] = {**live, str(new.sequence): new}
            return str(new.sequence)

    def update(self, queue: str, subscription_id: str, project: Project = None, **kwargs: Any) -> None:
        check_subscription_changes(kwargs)
        with self._store.lock:
            now = self._clock.time()
            found = self._require(queue, subscription_id, project, now)
            subscriber = kwargs.get("subscriber", found.subscriber)
            if _of(subscriber, self._live(queue, project, now)) not in (None, found):
                raise SubscriptionAlreadyExists
            if "options" in kwargs:
                found.options = encode_mapping(kwargs["options"])
            if "ttl" in kwargs:
                found.ttl, found.since = kwargs["ttl"] or 0, now
            found.subscriber = subscriber

    def exists(self, queue: str, subscription_id: str, project: Project = None) -> bool:
        with self._store.lock:
            return subscription_id in self._live(queue, project, self._clock.time())

    def delete(self, queue: str, subscription_id: str, project: Project = None) -> None:
        with self._store.lock:
            self._store.subscriptions.get((project, queue), {}).pop(subscription_id, None)

    def confirm(self, queue: str, subscription_id: str, project: Project = None, confirmed: bool | None = None) -> None:
        with self._store.lock:
            found = self._require(queue, subscription_id, project, self._clock.time())
            found.confirmed = confirmed is None or confirmed

    def _live(self, queue: str, project: Project, now: float) -> dict[str, StoredSubscription]:
        stored = self._store.subscriptions.get((project, queue), {})
        return {key: subscription for key, subscription in stored.items() if subscription.is_live(now)}

    def _require(self, queue: str, subscription_id: str, project: Project, now: float) -> StoredSubscription:
        found = self._live(queue, project, now).get(subscription_id)
        if found is None:
            raise SubscriptionDoesNotExist(subscription_id)
        return found


def collect(store: DataStore, now: float) -> int:
    """Remove the expired subscriptions; return their number."""
    expired = 0
    for scope, stored in list(store.subscriptions.items()):
        live = {key: subscription for key, subscription in stored.items() if subscription.is_live(now)}
        expired += len(stored) - len(live)
        if live:
            store.subscriptions[scope] = live
        else:
            del store.subscriptions[scope]
    return expired


def _of(subscriber: str, live: dict[str, StoredSubscription]) -> StoredSubscription | None:
    return next((found for found in live.values() if found.subscriber == subscriber), None)


def _view(queue: str, subscription: StoredSubscription, now: float) -> Subscription:
    return {
        "id": str(subscription.sequence),
        "source": queue,
        "subscriber": subscription.subscriber,
        "ttl": subscription.ttl,
        "age": max(0, int(now - subscription.created)),
        "options": decode_mapping(subscription.options),
        "confirmed": subscription.confirmed,
    }
