"""The controller of subscriptions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kombu_pool.drivers.redis.keys import name_bytes, name_of, queue_keys
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.drivers.redis.store import now_argument
from kombu_pool.errors import SubscriptionAlreadyExists, SubscriptionDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import SubscriptionController as Contract
from kombu_pool.storage.policy import read, write
from kombu_pool.storage.validation import check_subscription_changes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.redis.client import Client
    from kombu_pool.drivers.redis.scripts import Script
    from kombu_pool.model import Project, Subscription

_CREATE = script("subscriptions/create")
_GET = script("subscriptions/get", repeatable=True, writes=False)
_LIST = script("subscriptions/list", repeatable=True, writes=False)
_CHANGE = script("subscriptions/update", repeatable=True)
_DELETE = script("subscriptions/delete", repeatable=True)
_COLLECT = script("subscriptions/collect")
#: Reply of the script that updates when another subscription has the subscriber.
_TAKEN: Final = 0

_ID = re.compile("[0-9a-f]{16}")


class SubscriptionController(Contract):
    """Subscriptions in a hash for each queue."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    def list(
        self, queue: str, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Iterator[Any]:
        if marker and not _stored_id(marker):
            return page([], str)
        found = self._call(_LIST, queue, project, marker or "", limit)
        return page([_to_subscription(queue, subscription) for subscription in found], lambda item: str(item["id"]))

    def get(self, queue: str, subscription_id: str, project: Project = None) -> Subscription:
        found = self._require(_GET, queue, project, _stored_id(subscription_id), sought=subscription_id)
        return _to_subscription(queue, found)

    def get_with_subscriber(self, queue: str, subscriber: str, project: Project = None) -> Subscription:
        return _to_subscription(
            queue, self._require(_GET, queue, project, b"=" + name_bytes(subscriber), sought=subscriber)
        )

    def create(
        self, queue: str, subscriber: str, ttl: float, options: Mapping[str, Any], project: Project = None
    ) -> str | None:
        values = {"subscriber": subscriber, "ttl": ttl, "options": options}
        created = self._call(_CREATE, queue, project, *(_stored(name, value) for name, value in values.items()))
        return None if created is None else str(created, "ascii")

    def update(self, queue: str, subscription_id: str, project: Project = None, **kwargs: Any) -> None:
        check_subscription_changes(kwargs)
        self._change(queue, subscription_id, project, kwargs)

    def exists(self, queue: str, subscription_id: str, project: Project = None) -> bool:
        return self._call(_GET, queue, project, _stored_id(subscription_id)) is not None

    def delete(self, queue: str, subscription_id: str, project: Project = None) -> None:
        self._call(_DELETE, queue, project, _stored_id(subscription_id))

    def confirm(self, queue: str, subscription_id: str, project: Project = None, confirmed: bool | None = None) -> None:
        self._change(queue, subscription_id, project, {"confirmed": confirmed is None or confirmed})

    def collect(self, project: Project, queue: str) -> int:
        """Delete the queue's expired subscriptions; return how many there were."""
        return int(self._call(_COLLECT, queue, project))

    def _change(self, queue: str, subscription_id: str, project: Project, changes: Mapping[str, Any]) -> None:
        fields = [part for name, value in changes.items() for part in (name, _stored(name, value))]
        stored_id = _stored_id(subscription_id)
        if self._require(_CHANGE, queue, project, stored_id, *fields, sought=subscription_id) == _TAKEN:
            raise SubscriptionAlreadyExists

    def _require(self, script: Script, queue: str, project: Project, *args: Any, sought: str) -> Any:
        found = self._call(script, queue, project, *args)
        if found is None:
            raise SubscriptionDoesNotExist(sought)
        return found

    def _call(self, script: Script, queue: str, project: Project, *args: Any) -> Any:
        keys = queue_keys(self._client.location.key_prefix, project, queue)
        return self._client.call(script, (keys.queue, keys.subscriptions), now_argument(self._clock), *args)


def _stored_id(subscription_id: str) -> str:
    """Return a subscription's id, or "" for a text that cannot be one; nothing is stored under ""."""
    return subscription_id if _ID.fullmatch(subscription_id) else ""


def _stored(name: str, value: Any) -> bytes | int:
    """Return the stored form of a field of a subscription."""
    if name == "subscriber":
        return name_bytes(value)
    if name == "confirmed":
        return int(value)
    return write(dict(value or {})) if name == "options" else write(value or 0)


def _to_subscription(queue: str, stored: Any) -> Subscription:
    found_id, subscriber, ttl, age, options, confirmed = stored
    return {
        "id": str(found_id, "ascii"),
        "source": queue,
        "subscriber": name_of(subscriber),
        "ttl": read(ttl),  # type: ignore[typeddict-item]
        "age": age,
        "options": read(options),
        "confirmed": bool(confirmed),
    }
