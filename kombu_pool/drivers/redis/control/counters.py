"""The counters of queues: a hash with a map for each queue."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from kombu_pool.drivers.redis.control.key_encoding import member, scope_of
from kombu_pool.drivers.redis.keys import control_keys
from kombu_pool.drivers.redis.scripts import script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.redis.client import Client
    from kombu_pool.model import Project
    from kombu_pool.storage.counters import Increments

_ADD = script("control/add_counters")
#: Queues of one command; Redis serves no other client meanwhile.
_PAGE_SIZE = 500


class Counters:
    """The counters in one Redis."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._keys = control_keys(client.location.key_prefix)

    def add(self, increments: Increments) -> None:
        """Add as :meth:`ControlDriver.add_counters` promises."""
        each = iter(increments.items())
        while some := list(islice(each, _PAGE_SIZE)):
            arguments: list[Any] = []
            for (project, queue, incarnation), counts in some:
                arguments += (member(project, queue), incarnation, msgspec.msgpack.encode(counts))
            self._client.call(_ADD, self._keys.lives, *arguments)

    def read(self, queues: Sequence[tuple[Project, str]] | None) -> dict[tuple[Project, str], dict[str, int]]:
        """Return what :meth:`ControlDriver.counters` promises."""
        members = self._all_members() if queues is None else [member(*scope) for scope in dict.fromkeys(queues)]
        found: dict[tuple[Project, str], dict[str, int]] = {}
        for start in range(0, len(members), _PAGE_SIZE):
            some = members[start : start + _PAGE_SIZE]
            stored = self._client.command("HMGET", self._keys.counters, *some)
            found.update((scope_of(queue), _decode(sums)) for queue, sums in zip(some, stored, strict=True) if sums)
        return found

    def _all_members(self) -> list[bytes]:
        return [*self._client.command("HKEYS", self._keys.counters)]


def _decode(stored: bytes) -> dict[str, int]:
    return msgspec.msgpack.decode(stored, type=dict[str, int])
