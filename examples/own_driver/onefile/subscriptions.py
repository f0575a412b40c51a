"""Subscriptions, which may come before their queue."""

from kombu_pool import storage
from kombu_pool.errors import SubscriptionAlreadyExists, SubscriptionDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage.policy import read, write
from kombu_pool.storage.validation import check_subscription_changes


class SubscriptionController(storage.SubscriptionController):
    """The subscriptions of the file: each a dictionary, by its number."""

    def __init__(self, store):
        self._store = store

    def list(self, queue, project=None, marker=None, limit=DEFAULT_LIMIT):
        after = int(marker) if marker and marker.isdecimal() else 0
        with self._store.read() as (state, now):
            found = _live(state, queue, project, now).values() if after or not marker else ()
        shown = [_show(one, now) for one in found if int(one["id"]) > after]
        return page(shown[: limit or None], lambda item: item["id"])

    def get(self, queue, subscription_id, project=None):
        with self._store.read() as (state, now):
            return _show(_require(state, queue, subscription_id, project, now), now)

    def create(self, queue, subscriber, ttl, options, project=None):
        new = {"source": queue, "subscriber": subscriber, "ttl": ttl or 0, "confirmed": False}
        new["options"] = write(dict(options or {}))
        with self._store.change() as (state, now):
            live = _live(state, queue, project, now)
            if _has(live, subscriber):
                return None
            new |= {"id": str(state.next_number()), "created": now, "since": now}
            state.subscriptions[project, queue] = {**live, new["id"]: new}
        return new["id"]

    def update(self, queue, subscription_id, project=None, **kwargs):
        check_subscription_changes(kwargs)
        with self._store.change() as (state, now):
            found = _require(state, queue, subscription_id, project, now)
            subscriber = kwargs.get("subscriber", found["subscriber"])
            if subscriber != found["subscriber"] and _has(_live(state, queue, project, now), subscriber):
                raise SubscriptionAlreadyExists
            found["subscriber"] = subscriber
            if "ttl" in kwargs:
                found |= {"ttl": kwargs["ttl"] or 0, "since": now}
            if "options" in kwargs:
                found["options"] = write(dict(kwargs["options"] or {}))

    def delete(self, queue, subscription_id, project=None):
        with self._store.change() as (state, _):
            state.subscriptions.get((project, queue), {}).pop(subscription_id, None)

    def confirm(self, queue, subscription_id, project=None, confirmed=None):
        with self._store.change() as (state, now):
            _require(state, queue, subscription_id, project, now)["confirmed"] = confirmed is None or confirmed


def _live(state, queue, project, now):
    stored = state.subscriptions.get((project, queue), {})
    return {key: one for key, one in stored.items() if not one["ttl"] or one["since"] + one["ttl"] > now}


def _has(live, subscriber):
    return any(one["subscriber"] == subscriber for one in live.values())


def _require(state, queue, subscription_id, project, now):
    found = _live(state, queue, project, now).get(subscription_id)
    if found is None:
        raise SubscriptionDoesNotExist(subscription_id)
    return found


def _show(one, now):
    shown = {key: value for key, value in one.items() if key not in {"created", "since"}}
    return {**shown, "options": read(one["options"]), "age": max(0, int(now - one["created"]))}
