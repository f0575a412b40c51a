"""Who holds which queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.redis.control.key_encoding import member, scope_of, span, stored_name
from kombu_pool.drivers.redis.keys import control_key
from kombu_pool.drivers.redis.scripts import Script, script
from kombu_pool.drivers.redis.times import now_argument
from kombu_pool.storage import ConsumersController as Contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.redis.client import Link
    from kombu_pool.model import Project

_PARTS = ("lifetimes", "last_used", "may_expire", "holders", "held_queues", "holder_ends")
_SET_LIFETIME = script("control/set_lifetime", repeatable=True)
_TOUCH = script("control/touch", repeatable=True)
_ATTACH = script("control/add_holder", repeatable=True)
_RENEW = script("control/renew_holders", repeatable=True)
_DETACH = script("control/remove_holders", repeatable=True)
_COUNT = script("control/count_consumers", repeatable=True, writes=False)
# What it writes is found out again should it get lost.
_ABANDONED = script("control/expired_queues", repeatable=True, writes=False)
_FORGET = script("control/remove_queue", repeatable=True)
_CONSUMING, _OWNING = "c", "o"


class ConsumersController(Contract):
    """Holders in sorted sets; a queue that may be abandoned is looked at when its time has come, and not before."""

    # An idle process is to be quiet; and each of many asks.
    poll_interval = 5.0

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._keys = tuple(control_key(link.location.key_prefix, f"consumers:{part}") for part in _PARTS)

    def set_lifetime(self, queue: str, after: float, project: Project = None, from_now: bool = False) -> None:
        self._call(_SET_LIFETIME, member(project, queue), after, int(from_now))

    def touch(self, queue: str, project: Project = None) -> None:
        self._call(_TOUCH, member(project, queue))

    def add_holder(self, queue: str, holder: str, ttl: float, project: Project = None, consuming: bool = True) -> None:
        kind = _CONSUMING if consuming else _OWNING
        self._call(_ATTACH, member(project, queue), stored_name(holder), ttl, kind)

    def renew(self, holders: Sequence[str], ttl: float) -> None:
        if holders:
            self._call(_RENEW, ttl, *map(stored_name, holders))

    def remove_holders(self, holders: Sequence[str]) -> None:
        if holders:
            self._call(_DETACH, *map(stored_name, holders))

    def count(self, queue: str, project: Project = None) -> int:
        bounds = span(member(project, queue), _CONSUMING.encode())
        return int(self._call(_COUNT, *bounds))

    def expired_queues(self, limit: int = 100) -> Sequence[tuple[Project, str]]:
        return [scope_of(scope) for scope in self._call(_ABANDONED, limit)]

    def forget(self, queue: str, project: Project = None) -> None:
        self._call(_FORGET, member(project, queue))

    def _call(self, wanted: Script, *arguments: Any) -> Any:
        return self._link.call(wanted, self._keys, now_argument(self._clock), *arguments)
