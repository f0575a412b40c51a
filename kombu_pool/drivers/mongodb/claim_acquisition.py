"""How a claim gets hold of messages in line, though others want the same ones."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument
from pymongo.errors import AutoReconnect

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.codec import FREE_AGAIN
from kombu_pool.drivers.mongodb.queue_scan import free_filters
from kombu_pool.drivers.mongodb.store import BATCH_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner, Scan
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Queue
    from kombu_pool.model import Message, Project

#: How many times as many messages as wanted somebody looks at to whom others were quicker.
_WIDER = 8

Stored = dict[str, Any]


@dataclass
class ClaimRequest:
    """One call that lends: under which claim, for how long, how many, and what was lent so far."""

    queue: str
    project: Project
    claim: str
    ttl: float
    #: None: the messages expire when they would have.
    grace: float | None
    limit: int
    messages: list[Message] = field(default_factory=list)
    #: Messages that should be dead-lettered but that no store takes: lent all the same.
    unwanted: set[bytes] = field(default_factory=set)
    #: Whether what was dead has been seen to.
    has_dead_lettered: bool = False

    @property
    def missing(self) -> int:
        """How many to lend in the next turn."""
        return min(self.limit - len(self.messages), BATCH_SIZE)


class ClaimAcquirer:
    """Takes messages out of the line."""

    def __init__(self, store: QueueScanner) -> None:
        self._store = store

    def take(self, request: ClaimRequest, scan: Scan, now: float) -> list[Stored]:
        """Let the claim hold what was looked at, or, when others were quicker, some of the next; return what it got."""
        ids, contention = [one["_id"] for one in scan.first], scan.scan_bounds.contention
        if contention.is_there and len(ids) == 1 and ids[0] not in request.unwanted:
            one = self._take_one(request, scan, now)
            contention.note(met=not one or one[0]["_id"] != ids[0])
            return one
        cached = _is_known(scan.first)
        taken = self._mark(request, scan, ids, now, {"n": scan.first[0]["n"]} if cached else {})
        if taken is not None:
            contention.note(
                met=taken < len(ids) and (contention.is_there or self._others_hold(scan.queue, ids, request.claim))
            )
        if cached and taken == len(ids):
            return [_as_lent(one, request, now) for one in scan.first]
        if taken is not None and taken < len(ids):
            scan.scan_bounds.read_ahead.pause()
            others = self._choose_apart(scan, len(ids) - taken, now)
            more = self._mark(request, scan, others, now, {}) if others else 0
            taken = None if more is None else taken + more
        return self._take_one(request, scan, now) if taken == 0 else self._held(request, scan.queue)

    def _mark(self, request: ClaimRequest, scan: Scan, ids: list[bytes], now: float, unchanged: Filter) -> int | None:
        """Let the claim hold messages that are free; return how many it got, None if the answer got lost."""
        where = {**scan.queue.scope, **states.free(now), "_id": {"$in": ids}, **unchanged}
        outlive = bool(unchanged) and all(one["x"] >= now + request.ttl for one in scan.first)
        update = states.claim_update(request.claim, now, request.ttl) if outlive else _held(request, now)
        try:
            return self._store.messages.update_many(where, update, hint=states.BY_ID).modified_count
        except AutoReconnect:
            # What the first try took is in line no more: the second one takes the rest, and all bear the claim.
            self._store.messages.update_many(where, update, hint=states.BY_ID)
            return None

    def _held(self, request: ClaimRequest, queue: Queue) -> list[Stored]:
        """Return what the claim holds and nobody has got yet."""
        had = {bytes.fromhex(message["id"]) for message in request.messages}
        where = {**queue.scope, "s": codec.DELAYED_OR_CLAIMED, "c": request.claim}
        cursor = self._store.messages.find(where, batch_size=BATCH_SIZE, hint=states.BY_CLAIM)
        return sorted((one for one in cursor if one["_id"] not in had), key=lambda one: bytes(one["_id"]))

    def _others_hold(self, queue: Queue, ids: list[bytes], claim: str) -> bool:
        """Tell whether others were lent some of these: they may be gone for want of time or room, too."""
        where = {**queue.scope, "_id": {"$in": ids}, "s": codec.DELAYED_OR_CLAIMED, "c": {"$nin": [claim, None]}}
        return self._store.messages.find_one(where, {"_id": 1}, hint=states.BY_ID) is not None

    def _choose_apart(self, scan: Scan, count: int, now: float) -> list[bytes]:
        """Return free messages that others are not likely to want at the same time, or the first if there are none."""
        most = scan.queue.policy.max_claim_count
        free = self._store.free(scan.queue, scan.scan_bounds.bounds, now, _WIDER * count)
        found = [one["_id"] for one in free if not most or one["n"] < most]
        others = len(found) - count if scan.scan_bounds.contention.is_there else 0
        start = random.randrange(max(0, others) + 1)  # noqa: S311 - anything that differs will do
        return found[start : start + count]

    def _take_one(self, request: ClaimRequest, scan: Scan, now: float) -> list[Stored]:
        """Take the first that the server can get hold of: nobody goes away empty while there is something."""
        most = scan.queue.policy.max_claim_count
        places = free_filters(scan.queue.scope, scan.scan_bounds.bounds, now)
        # Those back in line may be before all others, and are few.
        for where in [*places[-1:], *places[:-1]] if scan.first[0]["s"] == FREE_AGAIN else places:
            found = self._store.messages.find_one_and_update(
                {**where, **({"n": {"$lt": most}} if most else {})},
                _held(request, now),
                sort=[*states.ORDER],
                hint=states.BY_ORDER,
                return_document=ReturnDocument.AFTER,
            )
            if found is not None:
                return [found]
        return []


def _is_known(looked_at: Sequence[Stored]) -> bool:
    """Tell whether messages need not be read once more: they are whole, and as long as nobody lent them, unchanged."""
    return "b" in looked_at[0] and len({one["n"] for one in looked_at}) == 1


def _held(request: ClaimRequest, now: float) -> list[dict[str, Any]]:
    return states.claim_pipeline(request.claim, now, request.ttl, request.grace, count=True)


def _as_lent(found: Stored, request: ClaimRequest, now: float) -> Stored:
    """Return a message as it is once the claim holds it."""
    changes: Stored = {"c": request.claim, "n": found["n"] + 1}
    if request.grace is not None and found["x"] < now + request.ttl:
        changes["l"] = request.ttl + request.grace
    return {**found, **changes}
