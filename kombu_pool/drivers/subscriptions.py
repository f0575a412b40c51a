"""Subscriptions over any store: a store keeps those of a queue, which are few, in one record.

A driver extends :class:`SubscriptionController` by two verbs: read a record, and replace it if no other process did.
"""

from __future__ import annotations

import math
import secrets
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool import codec
from kombu_pool.drivers import records
from kombu_pool.errors import SubscriptionAlreadyExists, SubscriptionDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import SubscriptionController as Contract
from kombu_pool.storage.policy import write
from kombu_pool.storage.validation import check_subscription_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kombu_pool.model import Project, Subscription

NEVER = math.inf
_MICROSECONDS = 1_000_000
_NUMBER_DIGITS = 16


class StoredSubscription(NamedTuple):
    """A subscription; ``subscriber`` is a text in its stored form, and ``ends`` is infinite if it never expires."""

    id: str
    subscriber: bytes | None
    ttl: float
    ends: float
    created: float
    options: dict[str, Any]
    confirmed: bool = False


class SubscriptionController(Contract):
    """The subscriptions of each queue in a record, b"" for none."""

    _last_number = 0

    @abstractmethod
    def read(self, project: Project, queue: str) -> tuple[bytes, float]:
        """Return the record of a queue, which need not exist, and the time."""

    @abstractmethod
    def replace(self, project: Project, queue: str, before: bytes, after: bytes, ends: Sequence[float]) -> bool:
        """Replace the record of a queue if it is still ``before``; return whether it was.

        ``ends`` are the expiries of the subscriptions in it, as :class:`StoredSubscription` has them.
        """

    def list(
        self, queue: str, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Iterator[Any]:
        live, now = self._live(queue, project)
        after = [_to_subscription(queue, one, now) for one in live if one.id > (marker or "")]
        return page(after[: limit or None], lambda item: str(item["id"]))

    def get(self, queue: str, subscription_id: str, project: Project = None) -> Subscription:
        live, now = self._live(queue, project)
        return _to_subscription(queue, _require(live, subscription_id), now)

    def create(
        self, queue: str, subscriber: str, ttl: float, options: Mapping[str, Any], project: Project = None
    ) -> str | None:
        name, given = records.to_bytes(subscriber), dict(options or {})

        def add(live: Sequence[StoredSubscription], now: float) -> Sequence[StoredSubscription]:
            return [*live, StoredSubscription(self._new_id(live, now), name, *_lifetime(ttl, now), now, given)]

        try:
            return self._change(queue, project, add)[-1].id
        except SubscriptionAlreadyExists:
            return None

    def update(self, queue: str, subscription_id: str, project: Project = None, **kwargs: Any) -> None:
        check_subscription_changes(kwargs)
        changes = {**kwargs}
        if "subscriber" in kwargs:
            changes["subscriber"] = records.to_bytes(kwargs["subscriber"])
        if "options" in kwargs:
            changes["options"] = dict(kwargs["options"] or {})
        self._change_one(queue, subscription_id, project, changes)

    def delete(self, queue: str, subscription_id: str, project: Project = None) -> None:
        self._change(queue, project, lambda live, _: [one for one in live if one.id != subscription_id])

    def confirm(self, queue: str, subscription_id: str, project: Project = None, confirmed: bool | None = None) -> None:
        self._change_one(queue, subscription_id, project, {"confirmed": confirmed is None or confirmed})

    def export(self, queue: str, project: Project = None) -> bytes:
        return self.read(project, queue)[0]

    def restore(self, queue: str, subscriptions: bytes, project: Project = None) -> None:
        given = _decode(subscriptions)

        def attempt() -> bool:
            before, _ = self.read(project, queue)
            return before == subscriptions or self.replace(
                project, queue, before, subscriptions, [one.ends for one in given]
            )

        records.change(attempt, f"subscriptions to queue {queue!r}")

    def collect(self, project: Project, queue: str) -> int:
        """Delete the expired subscriptions of a queue; return their number."""
        record, now = self.read(project, queue)
        expired = sum(one.ends <= now for one in _decode(record))
        if expired:
            self._change(queue, project, lambda live, _: live)
        return expired

    def _live(self, queue: str, project: Project) -> tuple[Sequence[StoredSubscription], float]:
        record, now = self.read(project, queue)
        return [one for one in _decode(record) if one.ends > now], now

    def _change_one(self, queue: str, subscription_id: str, project: Project, changes: Mapping[str, Any]) -> None:
        def change(live: Sequence[StoredSubscription], now: float) -> Sequence[StoredSubscription]:
            found = _require(live, subscription_id)
            changed = found._replace(**changes)
            if "ttl" in changes:
                ttl, ends = _lifetime(changes["ttl"], now)
                changed = changed._replace(ttl=ttl, ends=ends)
            return [changed if one is found else one for one in live]

        self._change(queue, project, change)

    def _change(
        self,
        queue: str,
        project: Project,
        work: Callable[[Sequence[StoredSubscription], float], Sequence[StoredSubscription]],
    ) -> Sequence[StoredSubscription]:
        """Replace the live subscriptions of a queue by the result of ``work``, which may be called again, or raise.

        Raises:
            SubscriptionAlreadyExists: a subscriber would have two.
        """
        changed: Sequence[StoredSubscription] = ()

        def attempt() -> bool:
            nonlocal changed
            before, now = self.read(project, queue)
            changed = work([one for one in _decode(before) if one.ends > now], now)
            if len({one.subscriber for one in changed}) < len(changed):
                raise SubscriptionAlreadyExists
            after = write(changed) if changed else b""
            return after == before or self.replace(project, queue, before, after, [one.ends for one in changed])

        records.change(attempt, f"subscriptions to queue {queue!r}")
        return changed

    def _new_id(self, live: Sequence[StoredSubscription], now: float) -> str:
        """Return an id after those of the live subscriptions, and after those that were created here before."""
        last = int(live[-1].id[:_NUMBER_DIGITS], 16) if live else 0
        self._last_number = max(int(now * _MICROSECONDS), last + 1, self._last_number + 1)
        return f"{self._last_number:0{_NUMBER_DIGITS}x}{secrets.token_hex(4)}"


def _decode(record: bytes) -> Sequence[StoredSubscription]:
    return [StoredSubscription(*fields) for fields in codec.decode(record)] if record else ()


def _require(live: Sequence[StoredSubscription], subscription_id: str) -> StoredSubscription:
    for one in live:
        if one.id == subscription_id:
            return one
    raise SubscriptionDoesNotExist(subscription_id)


def _lifetime(ttl: float | None, now: float) -> tuple[float, float]:
    """Return the stored ttl and the expiry."""
    return (ttl, now + ttl) if ttl else (0, NEVER)


def _to_subscription(queue: str, stored: StoredSubscription, now: float) -> Subscription:
    return {
        "id": stored.id,
        "source": queue,
        "subscriber": records.to_text(stored.subscriber),
        "ttl": stored.ttl,
        "age": max(0, int(now - stored.created)),
        "options": stored.options,
        "confirmed": stored.confirmed,
    }
