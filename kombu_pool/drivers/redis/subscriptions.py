"""The controller of subscriptions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.keys import queue_keys
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.drivers.redis.store import now_argument
from kombu_pool.drivers.subscriptions import SubscriptionController as Contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.redis.client import Client
    from kombu_pool.model import Project

_READ = script("subscriptions/read", repeatable=True)
_REPLACE = script("subscriptions/replace", repeatable=True)


class SubscriptionController(Contract):
    """Subscriptions, the record of each queue in a string."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    def read(self, project: Project, queue: str) -> tuple[bytes, float]:
        record, now = self._client.call(_READ, self._keys(project, queue), now_argument(self._clock))
        return record or b"", float(now)

    def replace(self, project: Project, queue: str, before: bytes, after: bytes, ends: Sequence[float]) -> bool:
        last = max(ends, default=math.inf)
        arguments = (now_argument(self._clock), before, after, "" if last == math.inf else last)
        return bool(self._client.call(_REPLACE, self._keys(project, queue), *arguments))

    def subscribed(self, scopes: Sequence[tuple[Project, str]]) -> Sequence[tuple[Project, str]]:
        """Return those of the queues that have subscriptions."""
        found = self._client.commands([("EXISTS", self._keys(*scope)[1]) for scope in scopes])
        return [scope for scope, is_there in zip(scopes, found, strict=True) if is_there]

    def _keys(self, project: Project, queue: str) -> tuple[bytes, bytes]:
        keys = queue_keys(self._client.location.key_prefix, project, queue)
        return keys.queue, keys.subscriptions
