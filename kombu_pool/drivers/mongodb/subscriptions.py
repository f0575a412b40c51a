"""The controller of subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.store import queue_filter
from kombu_pool.errors import SubscriptionAlreadyExists, SubscriptionDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import SubscriptionController as Contract
from kombu_pool.storage.policy import read, write
from kombu_pool.storage.validation import check_subscription_changes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pymongo.collection import Collection

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store
    from kombu_pool.model import Project, Subscription


class SubscriptionController(Contract):
    """Subscriptions, each a document.

    ``p`` and ``q`` are project and name of the queue, which need not exist; ``w`` is the subscriber, ``l`` the ttl,
    ``x`` the expiry, ``t`` the time of creation, ``o`` the options, ``f`` whether it is confirmed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._client = store.client

    def list(
        self, queue: str, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Iterator[Any]:
        after = codec.parse_id(marker) if marker else b""
        if after is None:
            return page([], str)
        now = self._store.now()
        with self._client.translated():
            where = {**queue_filter(project, queue), "_id": {"$gt": after}, "x": {"$gt": now}}
            stored = self._stored.find(where, sort=[("_id", 1)], limit=limit)
            subscriptions = [_to_subscription(queue, one, now) for one in stored]
        return page(subscriptions, lambda item: str(item["id"]))

    def get(self, queue: str, subscription_id: str, project: Project = None) -> Subscription:
        return self._get(queue, project, {"_id": codec.parse_id(subscription_id)}, subscription_id)

    def get_with_subscriber(self, queue: str, subscriber: str, project: Project = None) -> Subscription:
        return self._get(queue, project, {"w": subscriber}, subscriber)

    def _get(self, queue: str, project: Project, where: Filter, name: str) -> Subscription:
        now = self._store.now()
        with self._client.translated():
            found = self._stored.find_one({**queue_filter(project, queue), **where, "x": {"$gt": now}})
        if found is None:
            raise SubscriptionDoesNotExist(name)
        return _to_subscription(queue, found, now)

    def create(
        self, queue: str, subscriber: str, ttl: float, options: Mapping[str, Any], project: Project = None
    ) -> str | None:
        now = self._store.now()
        scope = queue_filter(project, queue)
        with self._client.translated():
            (new,) = self._client.id_generator.next_ids(now, [0])
            self._delete_expired({**scope, "w": subscriber}, now)
            try:
                self._stored.insert_one(
                    {
                        "_id": new,
                        **scope,
                        "w": subscriber,
                        **_lifetime(ttl, now),
                        "t": now,
                        "o": write(dict(options or {})),
                        "f": False,
                    }
                )
            except DuplicateKeyError:
                return None
        return new.hex()

    def update(self, queue: str, subscription_id: str, project: Project = None, **kwargs: Any) -> None:
        check_subscription_changes(kwargs)
        changes: dict[str, Any] = {}
        if "subscriber" in kwargs:
            changes["w"] = kwargs["subscriber"]
        if "ttl" in kwargs:
            changes.update(_lifetime(kwargs["ttl"], self._store.now()))
        if "options" in kwargs:
            changes["o"] = write(dict(kwargs["options"] or {}))
        self._change(queue, subscription_id, project, changes)

    def delete(self, queue: str, subscription_id: str, project: Project = None) -> None:
        with self._client.translated():
            self._stored.delete_one({**queue_filter(project, queue), "_id": codec.parse_id(subscription_id)})

    def confirm(self, queue: str, subscription_id: str, project: Project = None, confirmed: bool | None = None) -> None:
        self._change(queue, subscription_id, project, {"f": confirmed is None or confirmed})

    def collect(self, now: float) -> int:
        """Delete expired subscriptions; return their number."""
        return self._delete_expired({}, now)

    def _change(self, queue: str, subscription_id: str, project: Project, changes: Mapping[str, Any]) -> None:
        now, scope = self._store.now(), queue_filter(project, queue)
        with self._client.translated():
            if "w" in changes:
                self._delete_expired({**scope, "w": changes["w"]}, now)
            where = {**scope, "_id": codec.parse_id(subscription_id), "x": {"$gt": now}}
            try:
                changed = self._stored.update_one(where, {"$set": dict(changes)}).matched_count
            except DuplicateKeyError:
                raise SubscriptionAlreadyExists from None
        if not changed:
            raise SubscriptionDoesNotExist(subscription_id)

    def _delete_expired(self, where: Filter, now: float) -> int:
        return self._stored.delete_many({**where, "x": {"$lte": now}}).deleted_count

    @property
    def _stored(self) -> Collection[dict[str, Any]]:
        return self._store.collection(states.SUBSCRIPTIONS)


def _lifetime(ttl: float | None, now: float) -> dict[str, float]:
    return {"l": ttl or 0, "x": now + ttl if ttl else codec.NEVER}


def _to_subscription(queue: str, stored: Mapping[str, Any], now: float) -> Subscription:
    return {
        "id": stored["_id"].hex(),
        "source": queue,
        "subscriber": stored["w"],
        "ttl": stored["l"],
        "age": max(0, int(now - stored["t"])),
        "options": read(stored["o"]),
        "confirmed": stored["f"],
    }
