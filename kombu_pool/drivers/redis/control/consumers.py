"""The controller of consumers: which holders use which queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.redis.control.key_encoding import member, name_of, scope_of, stored_name
from kombu_pool.drivers.redis.keys import control_keys
from kombu_pool.drivers.redis.scripts import Script, script
from kombu_pool.drivers.redis.store import now_argument
from kombu_pool.storage import ConsumersController as Contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.redis.client import Client
    from kombu_pool.model import Project

_SET_LIFETIME = script("control/set_lifetime", repeatable=True)
_TOUCH = script("control/touch", repeatable=True)
_ADD_HOLDER = script("control/add_holder", repeatable=True)
_RENEW_HOLDERS = script("control/renew_holders", repeatable=True)
_REMOVE_HOLDERS = script("control/remove_holders", repeatable=True)
_COUNT_CONSUMERS = script("control/count_consumers", repeatable=True)
_LIVE_CONSUMERS = script("control/live_consumers", repeatable=True)
_LIVE_HOLDERS = script("control/live_holders", repeatable=True)
# A failover may lose what it writes; the next call writes it again.
_EXPIRED_QUEUES = script("control/expired_queues", repeatable=True)
# Not repeatable: the second answer would be that the queue has not expired.
_EXPIRE = script("control/expire")
_CONSUMING, _OWNING = "c", "o"
#: Queues whose consumers are counted in one round trip.
_PAGE_SIZE = 500


class ConsumersController(Contract):
    """Holders in sorted sets, and queues with an expiry in one by the time at which they may expire."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        keys = control_keys(client.location.key_prefix)
        self._keys, self._keys_of_lives = keys.holders, keys.lives

    def set_lifetime(self, queue: str, after: float, project: Project = None, from_now: bool = False) -> None:
        self._call(_SET_LIFETIME, member(project, queue), after, int(from_now))

    def touch(self, queue: str, project: Project = None) -> bool:
        return bool(self._call(_TOUCH, member(project, queue)))

    def add_holder(
        self,
        queue: str,
        holder: str,
        ttl: float,
        project: Project = None,
        consuming: bool = True,
        *,
        incarnation: str | None = None,
    ) -> bool:
        arguments = [stored_name(holder), ttl, _CONSUMING if consuming else _OWNING]
        if incarnation is not None:
            arguments.append(incarnation)
        return bool(self._call_on_life(_ADD_HOLDER, queue, project, *arguments))

    def renew(self, holders: Sequence[str], ttl: float) -> Sequence[str]:
        if not holders:
            return ()
        return [holders[place] for place in self._call(_RENEW_HOLDERS, ttl, *map(stored_name, holders))]

    def holders(self, prefix: str) -> Sequence[str]:
        return [name_of(holder) for holder in self._call(_LIVE_HOLDERS, stored_name(prefix))]

    def remove_holders(self, holders: Sequence[str]) -> None:
        if holders:
            self._call(_REMOVE_HOLDERS, *map(stored_name, holders))

    def count(self, queue: str, project: Project = None) -> int:
        return int(self._call(_COUNT_CONSUMERS, member(project, queue)))

    def count_many(self, queues: Sequence[tuple[Project, str]]) -> Sequence[int]:
        counts: list[int] = []
        for start in range(0, len(queues), _PAGE_SIZE):
            members = [member(project, queue) for project, queue in queues[start : start + _PAGE_SIZE]]
            now = now_argument(self._clock)
            counts += self._client.calls(_COUNT_CONSUMERS, [(self._keys, (now, one)) for one in members])
        return counts

    def consumers(self, queue: str, project: Project = None) -> Sequence[str]:
        return [name_of(holder) for holder in self._call(_LIVE_CONSUMERS, member(project, queue))]

    def expired_queues(self, limit: int = 100) -> Sequence[tuple[Project, str]]:
        return [scope_of(scope) for scope in self._call(_EXPIRED_QUEUES, limit)]

    def expire(self, queue: str, project: Project = None, *, unused: str | None = None) -> bool:
        return bool(self._call_on_life(_EXPIRE, queue, project, *(() if unused is None else (unused,))))

    def _call(self, script: Script, *arguments: Any) -> Any:
        return self._client.call(script, self._keys, now_argument(self._clock), *arguments)

    def _call_on_life(self, script: Script, queue: str, project: Project, *arguments: Any) -> Any:
        now = now_argument(self._clock)
        return self._client.call(script, self._keys_of_lives, now, member(project, queue), *arguments)
