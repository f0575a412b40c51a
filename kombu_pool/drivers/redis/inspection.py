"""Counts the messages of many queues, those of one page in one round trip, and lists the claims of one queue."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.records import to_seconds
from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.drivers.redis.store import RUN_AGAIN
from kombu_pool.model import QueueCounts
from kombu_pool.storage.inspection import HOLDER_BYTES, LiveClaim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.redis.keys import KeySets
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import Project

_COUNTS = script("counts", repeatable=True)
_DUE_TIMES = script("due_times", repeatable=True)
_LIVE_CLAIMS = script("live_claims", repeatable=True)
#: Queues that are counted in one round trip.
_PAGE_SIZE = 500
_TIME = struct.Struct(">d")
#: The beginning of a claim's record: its start, its ttl, the tag of its holder.
_CLAIM = struct.Struct(f">dd{HOLDER_BYTES}s")


def count_many(store: Store, queues: Sequence[tuple[Project, str]]) -> list[QueueCounts | None]:
    """Return what :meth:`MessageController.count_many` does. Redis knows the length of everything."""
    counts: list[QueueCounts | None] = []
    for start in range(0, len(queues), _PAGE_SIZE):
        each = [store.keys(project, name) for project, name in queues[start : start + _PAGE_SIZE]]
        replies = store.client.calls(_COUNTS, [(keys.states, (store.now(),)) for keys in each])
        for keys, reply in zip(each, replies, strict=True):
            counts.append(_to_counts(store.run(_COUNTS, keys) if reply in RUN_AGAIN else reply))
    return counts


def due_times(store: Store, keys: KeySets, limit: int) -> list[tuple[str, float | None]]:
    """Return what :meth:`MessageController.due_times` does."""
    found = iter(store.run(_DUE_TIMES, keys, limit) or ())
    return [(message.hex(), float(due)) for message, due in zip(found, found, strict=True)]


def live_claims(store: Store, keys: KeySets, limit: int) -> list[LiveClaim]:
    """Return what :meth:`ClaimController.live_claims` does."""
    found = store.run(_LIVE_CLAIMS, keys, limit)
    if found is None:
        return []
    members, claims, beginnings, counts, now = found
    held: dict[bytes, list[str]] = {}
    for member in members:
        held.setdefault(member[codec.ID_BYTES :], []).append(member[: codec.ID_BYTES].hex())
    live = []
    for claim, beginning, count in zip(codec.split_ids(claims), beginnings, counts, strict=True):
        start, ttl, tag = _CLAIM.unpack(beginning)
        age, holder = max(0, int(float(now) - start)), None if tag == codec.holder_tag(None) else tag
        live.append(LiveClaim(claim.hex(), age, to_seconds(ttl), held[claim], int(count), holder))
    return live


def _to_counts(reply: Any) -> QueueCounts | None:
    if reply is None:
        return None
    free, delayed, claimed, now, posted, paused = reply
    times = [time for (time,) in _TIME.iter_unpack(posted)]
    age = max(0.0, float(now) - min(times)) if times else None
    return QueueCounts(free, delayed, claimed, age, is_exact=True, paused=bool(paused))
