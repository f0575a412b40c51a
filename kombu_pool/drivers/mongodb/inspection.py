"""Counts the messages of many queues, without a change to the store; a few commands for all of them."""

from __future__ import annotations

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

#: Number of delayed and claimed messages of a queue that are read at most: no index has all that tells them apart.
_MAX_READ = 10_000
#: Queues that one command counts: it has two pipelines for each, and a server takes up to 1000 stages.
_PAGE_SIZE = 100
#: Number of queues from which, and of messages for each up to which, all messages are read: a server takes longer to
#: plan two pipelines for each queue.
_MANY_QUEUES, _FEW_MESSAGES = 10, 20


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
    return [counts.get(name) for name in _names(queues)]


def _has_few_messages(store: Store, queues: int) -> bool:
    return queues >= _MANY_QUEUES and store.messages.estimated_document_count() <= _FEW_MESSAGES * queues


def _found(
    store: Store, scopes: Sequence[tuple[tuple[str, str], Filter]], now: float, limit: int
) -> dict[tuple[str, str], Filter]:
    """Return what is found in each queue: by one pipeline, or by two for each; half of these beside the others."""
    if _has_few_messages(store, len(scopes)):
        return _count_together(store, dict(scopes), now)
    half = (len(scopes) + 1) // 2
    with store.client.concurrently(partial(_found_in, store, scopes[half:], now, limit)) as others:
        found = _found_in(store, scopes[:half], now, limit)
    return found | others.result()


def _found_in(
    store: Store, scopes: Sequence[tuple[tuple[str, str], Filter]], now: float, limit: int
) -> dict[tuple[str, str], Filter]:
    found: dict[tuple[str, str], Filter] = {}
    for start in range(0, len(scopes), _PAGE_SIZE):
        some = scopes[start : start + _PAGE_SIZE]
        for part in store.messages.aggregate(_pipeline(store, [scope for _, scope in some], now, limit)):
            found.setdefault(some[part["k"]][0], {}).update(part)
    return found


def _count_together(
    store: Store, scopes: Mapping[tuple[str, str], Filter], now: float
) -> dict[tuple[str, str], Filter]:
    """Count the messages of all queues in one reading."""
    names = {scope["i"]: name for name, scope in scopes.items()}
    is_busy = {"$eq": ["$s", DELAYED_OR_CLAIMED]}
    is_free = {"$ne": ["$s", DELAYED_OR_CLAIMED]}
    is_due, is_delayed = _busy_conditions(now)
    free_id = {"$cond": [is_free, "$_id", None]}
    pipeline: list[dict[str, Any]] = [
        {"$match": {**queues_filter(names.values()), **states.present(now)}},
        {
            "$group": {
                "_id": "$i",
                "free": _sum_if(is_free),
                "f": {"$min": free_id},
                "l": {"$max": free_id},
                "busy": _sum_if(is_busy),
                "due": _sum_if({"$and": [is_busy, is_due]}),
                "delayed": _sum_if({"$and": [is_busy, is_delayed]}),
                "o": {"$min": {"$cond": [{"$and": [is_busy, is_due]}, "$_id", None]}},
            }
        },
    ]
    return {names[part["_id"]]: part for part in store.messages.aggregate(pipeline) if part["_id"] in names}


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
    ends = {"f": {"$min": "$_id"}, "l": {"$max": "$_id"}}
    yield [
        {"$match": {**scope, **states.free(now)}},
        {"$limit": limit},
        {"$group": {"_id": None, "free": {"$sum": 1}, **ends}},
        {"$set": {"k": key}},
    ]
    is_due, is_delayed = _busy_conditions(now)
    yield [
        {"$match": {**scope, "s": DELAYED_OR_CLAIMED, "x": {"$gt": now}}},
        {"$limit": min(limit, _MAX_READ)},
        {
            "$group": {
                "_id": None,
                "busy": {"$sum": 1},
                "due": _sum_if(is_due),
                "delayed": _sum_if(is_delayed),
                "o": {"$min": {"$cond": [is_due, "$_id", None]}},
            }
        },
        {"$set": {"k": key}},
    ]


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
    is_exact = free < limit and busy < min(limit, _MAX_READ)
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
