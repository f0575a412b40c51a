"""Counts the messages of many queues, without a change to the store; a few commands for all of them."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.codec import DELAYED_OR_CLAIMED, priority_of, project_key
from kombu_pool.drivers.mongodb.store import queues_filter
from kombu_pool.model import QueueCounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store
    from kombu_pool.model import Project

    #: A queue by its name, after the stored form of its project, with the filter of its messages.
    Named = tuple[tuple[str, str], Filter]
    Found = dict[tuple[str, str], Filter]

#: Number of delayed and claimed messages of a queue that are read at most: no index has all that tells them apart.
_MAX_READ = 10_000
#: Queues that one command counts: it has two pipelines for each, and a server takes up to 1000 stages.
_PAGE_SIZE = 100
#: Number of queues from which all messages are read at once, in less time than a server takes for two pipelines for
#: each queue: up to so many messages for each, or so many times the limit of a count.
_MANY_QUEUES, _FEW_MESSAGES, _FEW_LIMITS = 10, 400, 2
#: Time for which it is known how many messages a queue had, in seconds.
_SIZE_TTL = 60.0
_MAX_SIZES = 10_000
#: What is counted of free messages, which the index by order has.
_FREE: dict[str, Any] = {"free": {"$sum": 1}, "f": {"$min": "$_id"}, "l": {"$max": "$_id"}}


def count_many(store: Store, queues: Sequence[tuple[Project, str]], limit: int) -> list[QueueCounts | None]:
    """Return what :meth:`MessageController.count_many` does. Some messages are free before a process moves them."""
    now, present = store.now(), _documents(store, queues)
    scopes = {name: {"p": one["p"], "q": one["q"], "i": one["_id"]} for name, one in present.items()}
    found = _found(store, [*scopes.items()], now, limit)
    posted = _times_of_post(store, [part[end] for part in found.values() for end in ("f", "o") if part.get(end)])
    counts = {
        name: _to_counts(store, scope, found.get(name, {}), posted, now, limit)._replace(paused="z" in present[name])
        for name, scope in scopes.items()
    }
    at = time.monotonic()
    sizes = {scopes[name]["i"]: (one.free + one.delayed + one.claimed, at) for name, one in counts.items()}
    store.sizes = {**store.sizes, **sizes} if len(store.sizes) < _MAX_SIZES else sizes
    return [counts.get(name) for name in _names(queues)]


def _found(store: Store, scopes: Sequence[Named], now: float, limit: int) -> Found:
    """Return what is found in each queue: by two pipelines for all, or for each; a half beside the others."""
    short, long = _divided(store, scopes, limit)
    together, each = partial(_count_together, store, now), partial(_count_each, store, now, limit)
    half = (len(scopes) + 1) // 2
    if short and long:
        parts = partial(together, short), partial(each, long)
    else:
        count = together if short else each
        parts = partial(count, scopes[:half]), partial(count, scopes[half:])
    with store.client.concurrently(parts[1]) as others:
        found = parts[0]()
    return found | others.result()


def _divided(store: Store, scopes: Sequence[Named], limit: int) -> tuple[list[Named], list[Named]]:
    """Return the queues that are counted together, and those that are counted each up to the limit.

    By how many messages each had a moment ago; where that is unknown, by how many the store has.
    """
    short: list[Named] = []
    long: list[Named] = []
    is_small = _may_read_all(store, len(scopes), limit)
    earliest = time.monotonic() - _SIZE_TTL
    for named in scopes:
        size, at = store.sizes.get(named[1]["i"], (0, float("-inf")))
        is_short = size <= _FEW_MESSAGES if at >= earliest else is_small
        (short if is_short and len(scopes) >= _MANY_QUEUES else long).append(named)
    return short, long


def _may_read_all(store: Store, queues: int, limit: int) -> bool:
    most = max(_FEW_MESSAGES * queues, _FEW_LIMITS * limit)
    return queues >= _MANY_QUEUES and store.messages.estimated_document_count() <= most


def _count_each(store: Store, now: float, limit: int, scopes: Sequence[Named]) -> Found:
    """Count the messages of each queue, up to a limit."""
    found: Found = {}
    for start in range(0, len(scopes), _PAGE_SIZE):
        some = scopes[start : start + _PAGE_SIZE]
        for part in store.messages.aggregate(_pipeline(store, [scope for _, scope in some], now, limit)):
            found.setdefault(some[part["k"]][0], {}).update(part)
    return found


def _count_together(store: Store, now: float, scopes: Sequence[Named]) -> Found:
    """Count all messages of all queues: the free ones in their index, the others in their documents."""
    names = {scope["i"]: name for name, scope in scopes}
    found: Found = {}
    if not scopes:
        return found
    where = queues_filter(names.values())
    free = [{"$match": {**where, **states.free(now)}}, {"$group": {"_id": "$i", **_FREE}}]
    busy = [{"$match": {**where, "s": DELAYED_OR_CLAIMED, "x": {"$gt": now}}}, {"$group": {"_id": "$i", **_busy(now)}}]
    for pipeline, index in ((free, states.BY_ORDER), (busy, states.BY_DUE_TIME)):
        for part in store.messages.aggregate(pipeline, hint=index):
            # Of a deleted incarnation some may be left.
            if part["_id"] in names:
                found.setdefault(names[part["_id"]], {"all": True}).update(part)
    return found


def _names(queues: Sequence[tuple[Project, str]]) -> list[tuple[str, str]]:
    return [(project_key(project), name) for project, name in queues]


def _documents(store: Store, queues: Sequence[tuple[Project, str]]) -> dict[tuple[str, str], Filter]:
    """Return the documents of those queues that exist."""
    if not queues:
        return {}
    documents = store.queues.find(queues_filter(_names(queues)), {"p": 1, "q": 1, "z": 1})
    return {(one["p"], one["q"]): one for one in documents}


def _pipeline(store: Store, scopes: Sequence[Filter], now: float, limit: int) -> list[dict[str, Any]]:
    first, *others = [part for key, scope in enumerate(scopes) for part in _parts(key, scope, now, limit)]
    name = store.messages.name
    return [*first, *({"$unionWith": {"coll": name, "pipeline": part}} for part in others)]


def _parts(key: int, scope: Filter, now: float, limit: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the pipelines for one queue: of its free messages, and of those with a delay or a claim."""
    yield [
        {"$match": {**scope, **states.free(now)}},
        {"$limit": limit},
        {"$group": {"_id": None, **_FREE}},
        {"$set": {"k": key}},
    ]
    yield [
        {"$match": {**scope, "s": DELAYED_OR_CLAIMED, "x": {"$gt": now}}},
        {"$limit": min(limit, _MAX_READ)},
        {"$group": {"_id": None, **_busy(now)}},
        {"$set": {"k": key}},
    ]


def _busy(now: float) -> dict[str, Any]:
    """Return what is counted of messages with a delay or a claim."""
    is_due, is_delayed = _busy_conditions(now)
    return {
        "busy": {"$sum": 1},
        "due": _sum_if(is_due),
        "delayed": _sum_if(is_delayed),
        "o": {"$min": {"$cond": [is_due, "$_id", None]}},
    }


def _busy_conditions(now: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return whether a message with a delay or a claim is free by now, and whether its delay goes on."""
    is_due, is_claimed = {"$lte": ["$r", now]}, {"$gt": ["$c", ""]}
    return is_due, {"$and": [{"$not": [is_due]}, {"$not": [is_claimed]}]}


def _sum_if(condition: Mapping[str, Any]) -> dict[str, Any]:
    return {"$sum": {"$cond": [condition, 1, 0]}}


def _times_of_post(store: Store, ids: Sequence[bytes]) -> dict[bytes, float]:
    if not ids:
        return {}
    return {one["_id"]: one["t"] for one in store.messages.find({"_id": {"$in": list(ids)}}, {"t": 1})}


def _to_counts(
    store: Store, scope: Filter, found: Filter, posted: Mapping[bytes, float], now: float, limit: int
) -> QueueCounts:
    free, busy, due, delayed = (found.get(name, 0) for name in ("free", "busy", "due", "delayed"))
    times = [posted[found[end]] for end in ("f", "o") if found.get(end) in posted]
    if free and priority_of(found["f"]) != priority_of(found["l"]):
        times += _first_of_each_priority(store, scope, now)
    is_exact = "all" in found or (free < limit and busy < min(limit, _MAX_READ))
    age = max(0.0, now - min(times)) if times else None
    return QueueCounts(free + due, delayed, busy - due - delayed, age, is_exact)


def _first_of_each_priority(store: Store, scope: Filter, now: float) -> Iterator[float]:
    """Yield the time of the post of the first free message of each priority and state, which the index finds."""
    for state in states.FREE_STATES:
        where: Filter = {**scope, **states.free(now, state)}
        while (
            first := store.messages.find_one(where, {"t": 1}, sort=[*states.ORDER], hint=states.BY_ORDER)
        ) is not None:
            yield first["t"]
            where["_id"] = {"$gt": bytes((255 - priority_of(first["_id"]),)) + b"\xff" * 15}
