"""The filters and updates for the states of messages, and the indexes behind them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pymongo import ASCENDING, IndexModel

from kombu_pool.drivers.mongodb.codec import (
    DEAD,
    DELAYED_OR_CLAIMED,
    FREE_AGAIN,
    FREE_NEW,
    NEVER,
    PARTIAL,
    PUT_ASIDE,
)
from kombu_pool.storage.inspection import holder_tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.model import ClaimMetadata

Filter = dict[str, Any]

MESSAGES: Final = "messages"
QUEUES: Final = "queues"
DELETED_QUEUES: Final = "deleted_queues"
POSTS: Final = "posts"
SUBSCRIPTIONS: Final = "subscriptions"

BY_ID: Final = "_id_"
BY_ORDER: Final = "order"
BY_DUE_TIME: Final = "due"
BY_CLAIM: Final = "claims"
BY_EXPIRY: Final = "expiry"
BY_DLQ_EXPIRY: Final = "expiry_to_dlq"
BY_DEATH: Final = "dead"
BY_KEY: Final = "keys"
BY_UNIQUE_ID: Final = "unique_ids"
_FINITE = 1e300


def _index(name: str, keys: str, **options: Any) -> IndexModel:
    return IndexModel([(key, ASCENDING) for key in keys.split()], name=name, **options)


#: Each index begins with the shard key, except the two that are searched for all queues at once.
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    MESSAGES: [
        _index(BY_ORDER, "p q i s _id x"),
        _index(BY_DUE_TIME, "p q i r", partialFilterExpression={"s": DELAYED_OR_CLAIMED}),
        _index(BY_CLAIM, "p q c", partialFilterExpression={"s": DELAYED_OR_CLAIMED, "c": {"$gt": ""}}),
        _index(BY_EXPIRY, "p q i x", partialFilterExpression={"x": {"$lt": _FINITE}}),
        _index(BY_DLQ_EXPIRY, "x", partialFilterExpression={"e": True}),
        _index(BY_KEY, "j p q", partialFilterExpression={"j": {"$gt": ""}}),
        _index(BY_UNIQUE_ID, "p q i v", unique=True, partialFilterExpression={"v": {"$gt": ""}}),
        _index(BY_DEATH, "p q i k _id", partialFilterExpression={"s": DEAD}),
    ],
    QUEUES: [_index("names", "p q", unique=True)],
    SUBSCRIPTIONS: [_index("names", "p q", unique=True), _index(BY_EXPIRY, "x")],
}

#: The order of a queue within a state. Only BY_ORDER has the state before the id. Version 4.4 uses it for the sort only
#: if all leading keys are named, and sorts the whole queue otherwise.
ORDER: Final = tuple((key, ASCENDING) for key in ("p", "q", "i", "s", "_id"))
#: The order in which dead messages become dead letters.
DEATH_ORDER: Final = (("k", ASCENDING), ("_id", ASCENDING))

FREE_STATES: Final = (FREE_AGAIN, FREE_NEW)
_PRESENT_STATES: Final = (FREE_AGAIN, FREE_NEW, DELAYED_OR_CLAIMED)
#: All states of a message.
_STORED_STATES: Final = (*_PRESENT_STATES, PARTIAL, DEAD, PUT_ASIDE)
#: Excludes the sentinel among the delayed and claimed messages.
NOT_SENTINEL: Final = {"x": {"$gt": 0}}


def free(now: float, state: int | None = None) -> Filter:
    """Free messages of an advanced queue, in either state or in one of the two."""
    return {"s": {"$in": [*FREE_STATES]} if state is None else state, "x": {"$gt": now}}


def due(now: float, since: Mapping[str, float] = MappingProxyType({})) -> Filter:
    """Messages whose delay or claim has ended, ``since`` some time, but whose state does not say so yet."""
    return {"s": DELAYED_OR_CLAIMED, "r": {**since, "$lte": now}, **NOT_SENTINEL}


def delayed(now: float) -> Filter:
    """Delayed messages."""
    return {"s": DELAYED_OR_CLAIMED, "r": {"$gt": now}, "c": None, "x": {"$gt": now}}


def claimed(now: float, claim: str | Filter | None = None) -> Filter:
    """Messages under any live claim, or under this one; a condition may stand for its id."""
    return {"s": DELAYED_OR_CLAIMED, "r": {"$gt": now}, "c": {"$gt": ""} if claim is None else claim}


def present(now: float) -> Filter:
    """Free, delayed and claimed messages."""
    return {"s": {"$in": [*_PRESENT_STATES]}, "x": {"$gt": now}}


def stored(since: float) -> Filter:
    """Messages in any state, without those that expired up to a time."""
    return {"s": {"$in": [*_STORED_STATES]}, "x": {"$gt": since}}


def waiting(now: float) -> Filter:
    """Free and delayed messages, also expired ones, that no live claim holds."""
    return {"s": {"$in": [*_PRESENT_STATES]}, "$nor": [claimed(now)]}


def expired(now: float) -> Filter:
    """Expired messages."""
    return {"x": {"$lte": now}}


def expiring_to_dlq(since: float, now: float | None = None) -> Filter:
    """Messages that become dead letters by an expiry after ``since``; up to ``now``, if that is given."""
    until = {"$lt": _FINITE} if now is None else {"$lte": now}
    return {"s": {"$in": [*_PRESENT_STATES]}, "x": {"$gt": since, **until}}


def unreserved_dead(now: float) -> Filter:
    """Dead messages that no process has reserved."""
    return {"s": DEAD, "r": {"$lte": now}}


def is_claimed(stored: Mapping[str, Any], now: float) -> bool:
    """Return whether a live claim holds the message."""
    return stored["s"] == DELAYED_OR_CLAIMED and stored["r"] > now and stored["c"] is not None


#: Frees messages at their place in the order after a delay or a claim; they keep the id of the claim that ended.
MAKE_FREE: Final = {"$set": {"s": FREE_AGAIN, "r": 0.0}}
#: Frees messages of a live claim.
RELEASE: Final = {"$set": {"s": FREE_AGAIN, "r": 0.0, "c": None}}
#: Frees dead messages at their place in the order.
REVIVE: Final[list[dict[str, Any]]] = [
    {"$set": {"s": FREE_AGAIN, "r": 0.0, "c": None, "x": "$y"}},
    {"$unset": ["w", "k", "y", "z"]},
]


#: Puts messages aside for a move.
PUT_ASIDE_UPDATE: Final[list[dict[str, Any]]] = [{"$set": {"s": PUT_ASIDE, "x": NEVER, "y": "$x"}}]


def dead_update(reason: str, when: float | str, **others: Any) -> list[dict[str, Any]]:
    """Return the update that marks messages dead; ``when`` is a time, or a field of theirs with its dollar."""
    dead = {"s": DEAD, "w": reason, "k": when, "r": 0.0, "x": NEVER, "y": "$x", **others}
    return [{"$set": dead}, {"$unset": ["v", "vw"]}]


class ClaimTerms(NamedTuple):
    """The terms of a claim, as its messages store them."""

    ttl: float
    #: None leaves the expiry of the messages as it is.
    grace: float | None
    holder: bytes | None = None

    @classmethod
    def of(cls, metadata: ClaimMetadata) -> ClaimTerms:
        """Return the terms in a claim's metadata."""
        holder = metadata.get("holder")
        return cls(metadata["ttl"], metadata["grace"], None if holder is None else holder_tag(holder))


def claim_update(claim: str, now: float, terms: ClaimTerms) -> dict[str, Any]:
    """Return the update that claims messages which expire after the claim."""
    values = {"s": DELAYED_OR_CLAIMED, "r": now + terms.ttl, "c": claim, "a": now, "m": terms.ttl}
    if terms.holder is None:
        return {"$set": values, "$inc": {"n": 1}, "$unset": {"h": ""}}
    return {"$set": {**values, "h": terms.holder}, "$inc": {"n": 1}}


def claim_pipeline(claim: str, now: float, terms: ClaimTerms) -> list[dict[str, Any]]:
    """Return the update that claims messages."""
    holder = "$$REMOVE" if terms.holder is None else terms.holder
    claimed = {"s": DELAYED_OR_CLAIMED, "c": claim, "h": holder, "n": {"$add": ["$n", 1]}}
    return [{"$set": {**claimed, **_until_end(now, terms.ttl, terms.grace)}}]


def claim_if_free(claim: str, now: float, terms: ClaimTerms) -> list[dict[str, Any]]:
    """Return the update that claims messages, and leaves those as they are that are not free any more."""
    changes = claim_pipeline(claim, now, terms)[0]["$set"]
    is_free = {"$in": ["$s", [*FREE_STATES]]}
    return [{"$set": {name: {"$cond": [is_free, value, f"${name}"]} for name, value in changes.items()}}]


def renewal(now: float, ttl: float, grace: float) -> list[dict[str, Any]]:
    """Return the update that renews the claims of messages."""
    return [{"$set": _until_end(now, ttl, grace)}]


def _until_end(now: float, ttl: float, grace: float | None) -> dict[str, Any]:
    """Return the changed fields of messages whose claim begins now, or is renewed now."""
    end = now + ttl
    values: dict[str, Any] = {"r": end, "a": now, "m": ttl}
    if grace is not None:
        # Both conditions read the values before the update.
        is_short = {"$lt": ["$x", end]}
        values["x"] = {"$cond": [is_short, end + grace, "$x"]}
        values["l"] = {"$cond": [is_short, ttl + grace, "$l"]}
    return values
