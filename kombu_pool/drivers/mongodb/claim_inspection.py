"""Lists the claims of a queue, without a change to the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.store import queue_filter
from kombu_pool.drivers.records import to_seconds
from kombu_pool.storage.inspection import LiveClaim

if TYPE_CHECKING:
    from kombu_pool.drivers.mongodb.store import Store
    from kombu_pool.model import Project

_FIELDS = {"c": 1, "a": 1, "m": 1, "h": 1}


def live_claims(store: Store, project: Project, queue: str, limit: int) -> list[LiveClaim]:
    """Return what :meth:`ClaimController.live_claims` does: the index has the messages claim by claim."""
    if limit < 1:
        return []
    now, held = store.now(), dict[str, list[Any]]()
    # Without the incarnation: a claim's id is unique, also among the incarnations of a queue.
    where = {**queue_filter(project, queue), **states.claimed(now), "x": {"$gt": now}}
    for message in store.messages.find(where, _FIELDS, hint=states.BY_CLAIM, sort=[("c", 1)], limit=limit):
        held.setdefault(message["c"], []).append(message)
    counts = {claim: len(messages) for claim, messages in held.items()}
    if sum(counts.values()) == limit:
        # Only the last one may hold more.
        last = next(reversed(counts))
        counts[last] = store.messages.count_documents({**where, "c": last}, hint=states.BY_CLAIM)
    return [_to_live(claim, messages, counts[claim], now) for claim, messages in held.items()]


def _to_live(claim: str, messages: list[Any], count: int, now: float) -> LiveClaim:
    first, ids = messages[0], [message["_id"].hex() for message in messages]
    age = max(0, int(now - first["a"]))
    return LiveClaim(claim, age, to_seconds(first["m"]), ids, max(count, len(ids)), first.get("h"))
