"""Deletes messages under the claims that hold them, or lets them die."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb import layout, states
from kombu_pool.drivers.mongodb.layout import DEAD
from kombu_pool.drivers.mongodb.store import place
from kombu_pool.storage.dead_letters import REJECTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store
    from kombu_pool.model import Project

Pair = tuple[str, str]


def acknowledge(store: Store, project: Project, queue: str, held: Sequence[Pair], now: float) -> list[Pair]:
    """Delete as ``MessageController.delete_claimed`` promises, and return those that were not deleted."""

    def settle(where: Filter) -> int:
        return store.messages.delete_many(where).deleted_count

    return _settle(store, place(project, queue), held, now, settle, {})


def reject(store: Store, project: Project, queue: str, held: Sequence[Pair], now: float) -> list[Pair]:
    """Let die as ``MessageController.reject`` promises, and return those that did not."""

    def settle(where: Filter) -> int:
        return store.messages.update_many(where, states.dying(REJECTED, now)).modified_count

    return _settle(store, place(project, queue), held, now, settle, {"s": {"$ne": DEAD}})


def _settle(
    store: Store, where: Filter, held: Sequence[Pair], now: float, settle: Callable[[Filter], int], unsettled: Filter
) -> list[Pair]:
    asked = {pair for pair in map(tuple, held) if layout.id_of(pair[0]) is not None and layout.is_claim(pair[1])}
    if not asked:
        return list(held)
    # A claim's id is never used again: not even by the queue's next life.
    mine = asked if len(asked) == 1 else _held(store, where, asked, now)
    if not mine:
        return list(held)
    settled = settle(_under_claims(where, mine, now))
    if len(mine) == 1 and not settled:
        mine = set()
    elif settled < len(mine):
        # A claim ended in between. What is still there was not settled.
        ids = [layout.id_of(message) for message, _ in mine]
        cursor = store.messages.find({**where, "_id": {"$in": ids}, **unsettled}, {"_id": 1})
        left = {found["_id"].hex() for found in cursor}
        mine = {pair for pair in mine if pair[0] not in left}
    return [pair for pair in held if tuple(pair) not in mine]


def _held(store: Store, where: Filter, asked: Iterable[Any], now: float) -> set[Any]:
    """Return those of the pairs that are so: what is gone looks the same whoever deleted it, so it is asked before."""
    cursor = store.messages.find(_under_claims(where, asked, now), {"_id": 1, "c": 1}, batch_size=10_000)
    return {(found["_id"].hex(), found["c"]) for found in cursor}


def _under_claims(where: Filter, pairs: Iterable[Any], now: float) -> Filter:
    by_claim: dict[str, list[bytes | None]] = {}
    for message, claim in pairs:
        by_claim.setdefault(claim, []).append(layout.id_of(message))
    parts = [{**states.claimed(now, claim), "_id": {"$in": ids}} for claim, ids in by_claim.items()]
    if len(parts) == 1:
        return {**where, **parts[0]}
    return {"$or": [{**where, **part} for part in parts]}
