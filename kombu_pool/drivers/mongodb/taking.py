"""How a claim gets hold of messages in line, though others want the same ones."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument
from pymongo.errors import AutoReconnect

from kombu_pool.drivers.mongodb import layout, states
from kombu_pool.drivers.mongodb.layout import BACK
from kombu_pool.drivers.mongodb.looking import lines
from kombu_pool.drivers.mongodb.store import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.looking import Look, Lookout
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Queue
    from kombu_pool.model import Message, Project

#: How many times as many messages as wanted somebody looks at to whom others were quicker.
_WIDER = 8

Stored = dict[str, Any]


@dataclass
class Lending:
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
    has_tended: bool = False

    @property
    def missing(self) -> int:
        """How many to lend in the next turn."""
        return min(self.limit - len(self.messages), AT_ONCE)


class Taker:
    """Takes messages out of the line."""

    def __init__(self, store: Lookout) -> None:
        self._store = store

    def take(self, lending: Lending, look: Look, now: float) -> list[Stored]:
        """Let the claim hold what was looked at, or, when others were quicker, some of the next; return what it got."""
        ids, crowd = [one["_id"] for one in look.first], look.frontier.crowd
        if crowd.is_there and len(ids) == 1 and ids[0] not in lending.unwanted:
            one = self._take_one(lending, look, now)
            crowd.note(met=not one or one[0]["_id"] != ids[0])
            return one
        known = _is_known(look.first)
        taken = self._mark(lending, look, ids, now, {"n": look.first[0]["n"]} if known else {})
        if taken is not None:
            crowd.note(met=taken < len(ids) and (crowd.is_there or self._others_hold(look.queue, ids, lending.claim)))
        if known and taken == len(ids):
            return [_as_lent(one, lending, now) for one in look.first]
        if taken is not None and taken < len(ids):
            look.frontier.ahead.pause()
            others = self._choose_apart(look, len(ids) - taken, now)
            more = self._mark(lending, look, others, now, {}) if others else 0
            taken = None if more is None else taken + more
        return self._take_one(lending, look, now) if taken == 0 else self._held(lending, look.queue)

    def _mark(self, lending: Lending, look: Look, ids: list[bytes], now: float, unchanged: Filter) -> int | None:
        """Let the claim hold messages that are free; return how many it got, None if the answer got lost."""
        where = {**look.queue.scope, **states.in_line(now), "_id": {"$in": ids}, **unchanged}
        outlive = bool(unchanged) and all(one["x"] >= now + lending.ttl for one in look.first)
        update = states.lent(lending.claim, now, lending.ttl) if outlive else _held(lending, now)
        try:
            return self._store.messages.update_many(where, update, hint=states.BY_ID).modified_count
        except AutoReconnect:
            # What the first try took is in line no more: the second one takes the rest, and all bear the claim.
            self._store.messages.update_many(where, update, hint=states.BY_ID)
            return None

    def _held(self, lending: Lending, queue: Queue) -> list[Stored]:
        """Return what the claim holds and nobody has got yet."""
        had = {bytes.fromhex(message["id"]) for message in lending.messages}
        where = {**queue.scope, "s": layout.WAITING, "c": lending.claim}
        cursor = self._store.messages.find(where, batch_size=AT_ONCE, hint=states.BY_CLAIM)
        return sorted((one for one in cursor if one["_id"] not in had), key=lambda one: bytes(one["_id"]))

    def _others_hold(self, queue: Queue, ids: list[bytes], claim: str) -> bool:
        """Tell whether others were lent some of these: they may be gone for want of time or room, too."""
        where = {**queue.scope, "_id": {"$in": ids}, "s": layout.WAITING, "c": {"$nin": [claim, None]}}
        return self._store.messages.find_one(where, {"_id": 1}, hint=states.BY_ID) is not None

    def _choose_apart(self, look: Look, count: int, now: float) -> list[bytes]:
        """Return free messages that others are not likely to want at the same time, or the first if there are none."""
        most = look.queue.policy.max_claim_count
        free = self._store.free(look.queue, look.frontier.bounds, now, _WIDER * count)
        found = [one["_id"] for one in free if not most or one["n"] < most]
        others = len(found) - count if look.frontier.crowd.is_there else 0
        start = random.randrange(max(0, others) + 1)  # noqa: S311 - anything that differs will do
        return found[start : start + count]

    def _take_one(self, lending: Lending, look: Look, now: float) -> list[Stored]:
        """Take the first that the server can get hold of: nobody goes away empty while there is something."""
        most = look.queue.policy.max_claim_count
        places = lines(look.queue.scope, look.frontier.bounds, now)
        # Those back in line may be before all others, and are few.
        for where in [*places[-1:], *places[:-1]] if look.first[0]["s"] == BACK else places:
            found = self._store.messages.find_one_and_update(
                {**where, **({"n": {"$lt": most}} if most else {})},
                _held(lending, now),
                sort=[*states.IN_ORDER],
                hint=states.LINE,
                return_document=ReturnDocument.AFTER,
            )
            if found is not None:
                return [found]
        return []


def _is_known(looked_at: Sequence[Stored]) -> bool:
    """Tell whether messages need not be read once more: they are whole, and as long as nobody lent them, unchanged."""
    return "b" in looked_at[0] and len({one["n"] for one in looked_at}) == 1


def _held(lending: Lending, now: float) -> list[dict[str, Any]]:
    return states.held(lending.claim, now, lending.ttl, lending.grace, lent=True)


def _as_lent(found: Stored, lending: Lending, now: float) -> Stored:
    """Return a message as it is once the claim holds it."""
    changes: Stored = {"c": lending.claim, "n": found["n"] + 1}
    if lending.grace is not None and found["x"] < now + lending.ttl:
        changes["l"] = lending.ttl + lending.grace
    return {**found, **changes}
