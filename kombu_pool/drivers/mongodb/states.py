"""The filters and updates by which MongoDB knows the states of messages, and the indexes that serve them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pymongo import ASCENDING, IndexModel

from kombu_pool.drivers.mongodb.codec import DEAD, DELAYED_OR_CLAIMED, FREE_AGAIN, FREE_NEW, NEVER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Filter = dict[str, Any]

MESSAGES: Final = "messages"
QUEUES: Final = "queues"
DELETED_QUEUES: Final = "deleted_queues"
POSTS: Final = "posts"
SUBSCRIPTIONS: Final = "subscriptions"

BY_ID: Final = "_id_"
BY_ORDER: Final = "line"
BY_DUE_TIME: Final = "waiting"
BY_CLAIM: Final = "claims"
BY_EXPIRY: Final = "expiring"
BY_DLQ_EXPIRY: Final = "mortal"
BY_DEATH: Final = "dying"
_BEYOND_ALL_TIME = 1e300


def _index(name: str, keys: str, **options: Any) -> IndexModel:
    return IndexModel([(key, ASCENDING) for key in keys.split()], name=name, **options)


#: Each begins with what a sharded collection is divided by, but that which answers for all queues at once.
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    MESSAGES: [
        _index(BY_ORDER, "p q i s _id x"),
        _index(BY_DUE_TIME, "p q i r", partialFilterExpression={"s": DELAYED_OR_CLAIMED}),
        _index(BY_CLAIM, "p q c", partialFilterExpression={"s": DELAYED_OR_CLAIMED, "c": {"$gt": ""}}),
        _index(BY_EXPIRY, "p q i x", partialFilterExpression={"x": {"$lt": _BEYOND_ALL_TIME}}),
        _index(BY_DLQ_EXPIRY, "x", partialFilterExpression={"e": True}),
        _index(BY_DEATH, "p q i k _id", partialFilterExpression={"s": DEAD}),
    ],
    QUEUES: [_index("names", "p q", unique=True)],
    SUBSCRIPTIONS: [_index("subscribers", "p q i w", unique=True)],
}

#: In order, within a state. With the state before the id no index but that of the line can serve it; and a server of
#: version 4.4 sees that it does only where all that it begins with is said, and would sort the whole queue otherwise.
ORDER: Final = tuple((key, ASCENDING) for key in ("p", "q", "i", "s", "_id"))
FREE_STATES: Final = (FREE_AGAIN, FREE_NEW)
_PRESENT: Final = (FREE_AGAIN, FREE_NEW, DELAYED_OR_CLAIMED)
#: As they died.
DEATH_ORDER: Final = (("k", ASCENDING), ("_id", ASCENDING))


#: What a fence among what waits is not.
NOT_SENTINEL: Final = {"x": {"$gt": 0}}


def free(now: float, state: int | None = None) -> Filter:
    """Free messages of a queue that is settled; or of these, those in line or those back in line."""
    return {"s": {"$in": [*FREE_STATES]} if state is None else state, "x": {"$gt": now}}


def due(now: float, since: Mapping[str, float] = MappingProxyType({})) -> Filter:
    """Messages whose delay or claim is over, since some time, but that do not stand in line yet."""
    return {"s": DELAYED_OR_CLAIMED, "r": {**since, "$lte": now}, **NOT_SENTINEL}


def delayed(now: float) -> Filter:
    """Delayed messages."""
    return {"s": DELAYED_OR_CLAIMED, "r": {"$gt": now}, "c": None, "x": {"$gt": now}}


def claimed(now: float, claim: str | None = None) -> Filter:
    """Messages that a live claim holds, or that one does."""
    return {"s": DELAYED_OR_CLAIMED, "r": {"$gt": now}, "c": {"$gt": ""} if claim is None else claim}


def present(now: float) -> Filter:
    """Messages in whichever state but expired."""
    return {"s": {"$in": [*_PRESENT]}, "x": {"$gt": now}}


def expired(now: float) -> Filter:
    """Messages that have expired."""
    return {"x": {"$lte": now}}


def expiring_to_dlq(since: float, now: float | None = None) -> Filter:
    """Messages that have expired, or will, in a queue which buries such since then."""
    until = {"$lt": _BEYOND_ALL_TIME} if now is None else {"$lte": now}
    return {"s": {"$in": [*_PRESENT]}, "x": {"$gt": since, **until}}


def unreserved_dead(now: float) -> Filter:
    """Dead messages that nobody buries at the time."""
    return {"s": DEAD, "r": {"$lte": now}}


def is_claimed(stored: Mapping[str, Any], now: float) -> bool:
    """Tell whether a live claim holds it."""
    return stored["s"] == DELAYED_OR_CLAIMED and stored["r"] > now and stored["c"] is not None


#: What puts messages in line where they stood; of a claim that ended they remember it.
MAKE_FREE: Final = {"$set": {"s": FREE_AGAIN, "r": 0.0}}
#: What gives them back from a claim that lives.
RELEASE: Final = {"$set": {"s": FREE_AGAIN, "r": 0.0, "c": None}}
#: What brings dead ones back to where they stood.
REVIVE: Final[list[dict[str, Any]]] = [
    {"$set": {"s": FREE_AGAIN, "r": 0.0, "c": None, "x": "$y"}},
    {"$unset": ["w", "k", "y", "z"]},
]


def dead_update(reason: str, when: float | str, **others: Any) -> list[dict[str, Any]]:
    """Return the update by which messages die; ``when`` may be the name of a field of theirs, with a dollar."""
    return [{"$set": {"s": DEAD, "w": reason, "k": when, "r": 0.0, "x": NEVER, "y": "$x", **others}}]


def claim_update(claim: str, now: float, ttl: float) -> dict[str, Any]:
    """Return the update by which a claim gets messages that live longer than it does."""
    return {"$set": {"s": DELAYED_OR_CLAIMED, "r": now + ttl, "c": claim, "a": now, "m": ttl}, "$inc": {"n": 1}}


def claim_pipeline(claim: str, now: float, ttl: float, grace: float | None, *, count: bool) -> list[dict[str, Any]]:
    """Return the update that lets a claim hold messages; ``grace`` None: they expire when they would have."""
    end = now + ttl
    values: dict[str, Any] = {"s": DELAYED_OR_CLAIMED, "r": end, "c": claim, "a": now, "m": ttl}
    if count:
        values["n"] = {"$add": ["$n", 1]}
    if grace is not None:
        # Both look at what the message said before.
        is_short = {"$lt": ["$x", end]}
        values["x"] = {"$cond": [is_short, end + grace, "$x"]}
        values["l"] = {"$cond": [is_short, ttl + grace, "$l"]}
    return [{"$set": values}]
