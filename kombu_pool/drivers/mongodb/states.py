"""The filters and updates by which MongoDB knows the states of messages, and the indexes that serve them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pymongo import ASCENDING, IndexModel

from kombu_pool.drivers.mongodb.layout import DEAD, IN_LINE, NEVER, WAITING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Filter = dict[str, Any]

MESSAGES: Final = "messages"
QUEUES: Final = "queues"
GRAVES: Final = "graves"
POSTS: Final = "posts"
SUBSCRIPTIONS: Final = "subscriptions"

LINE: Final = "line"
EXPIRING: Final = "expiring"
MORTAL: Final = "mortal"
DYING: Final = "dying"
_BEYOND_ALL_TIME = 1e300


def _index(name: str, keys: str, **options: Any) -> IndexModel:
    return IndexModel([(key, ASCENDING) for key in keys.split()], name=name, **options)


#: Each begins with what a sharded collection is divided by, but that which answers for all queues at once.
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    MESSAGES: [
        _index(LINE, "p q i s _id x"),
        _index("waiting", "p q i r", partialFilterExpression={"s": WAITING}),
        _index("claims", "p q c", partialFilterExpression={"s": WAITING, "c": {"$gt": ""}}),
        _index(EXPIRING, "p q i x", partialFilterExpression={"x": {"$lt": _BEYOND_ALL_TIME}}),
        _index(MORTAL, "x", partialFilterExpression={"e": True}),
        _index(DYING, "p q i k _id", partialFilterExpression={"s": DEAD}),
    ],
    QUEUES: [_index("names", "p q", unique=True)],
    SUBSCRIPTIONS: [_index("subscribers", "p q i w", unique=True)],
}

#: In order. With the state before the id no index but that of the line can serve it.
IN_ORDER: Final = (("s", ASCENDING), ("_id", ASCENDING))
#: As they died.
IN_DYING_ORDER: Final = (("k", ASCENDING), ("_id", ASCENDING))


def in_line(now: float) -> Filter:
    """Free messages of a queue that is settled."""
    return {"s": IN_LINE, "x": {"$gt": now}}


def due(now: float) -> Filter:
    """Messages whose delay or claim is over but that do not stand in line yet."""
    return {"s": WAITING, "r": {"$lte": now}}


def delayed(now: float) -> Filter:
    """Delayed messages."""
    return {"s": WAITING, "r": {"$gt": now}, "c": None, "x": {"$gt": now}}


def claimed(now: float, claim: str | None = None) -> Filter:
    """Messages that a live claim holds, or that one does."""
    return {"s": WAITING, "r": {"$gt": now}, "c": {"$gt": ""} if claim is None else claim}


def there(now: float) -> Filter:
    """Messages in whichever state but expired."""
    return {"s": {"$in": [IN_LINE, WAITING]}, "x": {"$gt": now}}


def expired(now: float) -> Filter:
    """Messages that have expired."""
    return {"x": {"$lte": now}}


def mortal(since: float, now: float | None = None) -> Filter:
    """Messages that have expired, or will, in a queue which buries such since then."""
    until = {"$lt": _BEYOND_ALL_TIME} if now is None else {"$lte": now}
    return {"s": {"$in": [IN_LINE, WAITING]}, "x": {"$gt": since, **until}}


def dead(now: float) -> Filter:
    """Dead messages that nobody buries at the time."""
    return {"s": DEAD, "r": {"$lte": now}}


def is_claimed(stored: Mapping[str, Any], now: float) -> bool:
    """Tell whether a live claim holds it."""
    return stored["s"] == WAITING and stored["r"] > now and stored["c"] is not None


#: What puts messages in line where they stood; of a claim that ended they remember it.
INTO_LINE: Final = {"$set": {"s": IN_LINE, "r": 0.0}}
#: What gives them back from a claim that lives.
RELEASED: Final = {"$set": {"s": IN_LINE, "r": 0.0, "c": None}}
#: What brings dead ones back to where they stood.
REVIVED: Final[list[dict[str, Any]]] = [
    {"$set": {"s": IN_LINE, "r": 0.0, "c": None, "x": "$y"}},
    {"$unset": ["w", "k", "y", "z"]},
]


def dying(reason: str, when: float | str, **others: Any) -> list[dict[str, Any]]:
    """Return the update by which messages die; ``when`` may be the name of a field of theirs, with a dollar."""
    return [{"$set": {"s": DEAD, "w": reason, "k": when, "r": 0.0, "x": NEVER, "y": "$x", **others}}]


def held(claim: str, now: float, ttl: float, grace: float | None, *, lent: bool) -> list[dict[str, Any]]:
    """Return the update that lets a claim hold messages; ``grace`` None: they expire when they would have."""
    end = now + ttl
    values: dict[str, Any] = {"s": WAITING, "r": end, "c": claim, "a": now, "m": ttl}
    if lent:
        values["n"] = {"$add": ["$n", 1]}
    if grace is not None:
        # Both look at what the message said before.
        is_short = {"$lt": ["$x", end]}
        values["x"] = {"$cond": [is_short, end + grace, "$x"]}
        values["l"] = {"$cond": [is_short, ttl + grace, "$l"]}
    return [{"$set": values}]
