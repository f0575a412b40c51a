"""How a claim acquires free messages that other processes may claim at the same time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument
from pymongo.errors import AutoReconnect

from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.codec import DELAYED_OR_CLAIMED, FREE_AGAIN
from kombu_pool.drivers.mongodb.queue_scan import free_filters
from kombu_pool.drivers.mongodb.store import BATCH_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner, Scan
    from kombu_pool.drivers.mongodb.states import ClaimTerms, Filter
    from kombu_pool.drivers.mongodb.store import Queue
    from kombu_pool.model import Message, Project

#: Multiple of the missing messages that a claim scans after a collision.
_COLLISION_FACTOR = 8

Stored = dict[str, Any]


@dataclass
class ClaimRequest:
    """One claim in the making: its id and terms, and the messages that it has so far."""

    queue: str
    project: Project
    claim: str
    terms: ClaimTerms
    limit: int
    #: The incarnation of its assignment that the queue must bear; None for any.
    incarnation: str | None
    messages: list[Message] = field(default_factory=list)
    #: Messages over the delivery limit that are claimed nevertheless, as no dead-letter target takes them.
    exempt: set[bytes] = field(default_factory=set)
    #: Whether this request has handled the queue's dead messages.
    has_dead_lettered: bool = False

    @property
    def missing(self) -> int:
        """The number of messages to claim in the next batch."""
        return min(self.limit - len(self.messages), BATCH_SIZE)


class ClaimAcquirer:
    """Puts free messages under a claim."""

    def __init__(self, store: QueueScanner) -> None:
        self._store = store

    def acquire(self, request: ClaimRequest, scan: Scan, now: float) -> list[Stored]:
        """Claim the scanned messages, or later ones after a collision; return those that were claimed."""
        ids, contention = [one["_id"] for one in scan.first], scan.scan_bounds.contention
        if contention.is_present and len(ids) == 1 and ids[0] not in request.exempt:
            one = self._acquire_one(request, scan, now)
            contention.record(collided=not one or one[0]["_id"] != ids[0])
            return one
        known = _is_uniform(scan.first)
        count = self._claim(request, scan, ids, now, {"n": scan.first[0]["n"]} if known else {})
        if count is not None:
            is_short = count < len(ids)
            contention.record(
                collided=is_short and (contention.is_present or self._others_hold(scan.queue, ids, request.claim))
            )
        if known and count == len(ids):
            return [_as_claimed(one, request, now) for one in scan.first]
        if count is not None and count < len(ids):
            scan.scan_bounds.read_ahead.pause()
            others = self._choose_others(scan, len(ids) - count, now)
            more = self._claim(request, scan, others, now, {}) if others else 0
            count = None if more is None else count + more
        return self._acquire_one(request, scan, now) if count == 0 else self._read_claimed(request, scan.queue)

    def _claim(self, request: ClaimRequest, scan: Scan, ids: list[bytes], now: float, unchanged: Filter) -> int | None:
        """Claim those of the messages that are free; return their number, None if the answer was lost."""
        where = {**scan.queue.scope, **states.free(now), "_id": {"$in": ids}, **unchanged}
        outlive = bool(unchanged) and all(one["x"] >= now + request.terms.ttl for one in scan.first)
        update = (states.claim_update if outlive else states.claim_pipeline)(request.claim, now, request.terms)
        try:
            return self._store.messages.update_many(where, update, hint=states.BY_ID).modified_count
        except AutoReconnect:
            # Messages that the first try claimed are not free any more: the second claims the rest under the same id.
            self._store.messages.update_many(where, update, hint=states.BY_ID)
            return None

    def _read_claimed(self, request: ClaimRequest, queue: Queue) -> list[Stored]:
        """Return the messages under the claim that the request does not have yet."""
        had = {bytes.fromhex(message["id"]) for message in request.messages}
        where = {**queue.scope, "s": DELAYED_OR_CLAIMED, "c": request.claim}
        cursor = self._store.messages.find(where, batch_size=BATCH_SIZE, hint=states.BY_CLAIM)
        return sorted((one for one in cursor if one["_id"] not in had), key=lambda one: bytes(one["_id"]))

    def _others_hold(self, queue: Queue, ids: list[bytes], claim: str) -> bool:
        """Return whether other claims hold some of these messages; they may also be expired or dropped."""
        where = {**queue.scope, "_id": {"$in": ids}, "s": DELAYED_OR_CLAIMED, "c": {"$nin": [claim, None]}}
        return self._store.messages.find_one(where, {"_id": 1}, hint=states.BY_ID) is not None

    def _choose_others(self, scan: Scan, count: int, now: float) -> list[bytes]:
        """Return free messages that another process is unlikely to choose too; the first ones without contention."""
        limit = scan.queue.policy.max_claim_count
        free = self._store.find_free(scan.queue, scan.scan_bounds.narrow_range, now, _COLLISION_FACTOR * count)
        found = [one["_id"] for one in free if not limit or one["n"] < limit]
        others = len(found) - count if scan.scan_bounds.contention.is_present else 0
        start = random.randrange(max(0, others) + 1)  # noqa: S311 - no secret
        return found[start : start + count]

    def _acquire_one(self, request: ClaimRequest, scan: Scan, now: float) -> list[Stored]:
        """Claim the first free message by find-and-modify, which finds one if there is any."""
        limit = scan.queue.policy.max_claim_count
        filters = free_filters(scan.queue.scope, scan.scan_bounds.narrow_range, now)
        # Messages that are free again may precede all new ones, and are few.
        for where in [*filters[-1:], *filters[:-1]] if scan.first[0]["s"] == FREE_AGAIN else filters:
            found = self._store.messages.find_one_and_update(
                {**where, **({"n": {"$lt": limit}} if limit else {})},
                states.claim_pipeline(request.claim, now, request.terms),
                sort=[*states.ORDER],
                hint=states.BY_ORDER,
                return_document=ReturnDocument.AFTER,
            )
            if found is not None:
                return [found]
        return []


def _is_uniform(scanned: Sequence[Stored]) -> bool:
    """Return whether complete messages with one claim count were scanned: while it stays, no message has changed."""
    return "b" in scanned[0] and len({one["n"] for one in scanned}) == 1


def _as_claimed(found: Stored, request: ClaimRequest, now: float) -> Stored:
    """Return a scanned message as the claim has changed it."""
    changes: Stored = {"c": request.claim, "n": found["n"] + 1}
    ttl, grace, _ = request.terms
    if grace is not None and found["x"] < now + ttl:
        changes["l"] = ttl + grace
    return {**found, **changes}
