"""Deletes messages under the claims that hold them, or lets them die."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.codec import DEAD
from kombu_pool.drivers.mongodb.store import queue_filter
from kombu_pool.storage.dead_letters import DeadLetterReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store
    from kombu_pool.model import Project

Pair = tuple[str, str]


class Acknowledgement:
    """Some (message id, claim id), of which those are to go whose live claim still holds the message."""

    def __init__(self, store: Store, project: Project, queue: str, held: Sequence[Pair]) -> None:
        self._store = store
        # A claim's id is never used again: not even by the queue's next life.
        self._place = queue_filter(project, queue)
        self._held = held

    def delete(self, now: float) -> list[Pair]:
        """Delete as ``MessageController.delete_claimed`` promises, and return those that were not deleted."""
        pairs = self._pairs()
        if not pairs:
            return list(self._held)
        mine = self._mine(pairs, now)
        # What is gone may be gone for an earlier try, which was not for good: that is waited for all the same.
        where = _under_claims(self._place, mine or pairs, now)
        deleted = self._store.messages.delete_many(where, hint=states.BY_ID).deleted_count
        return self._left(mine, deleted, {})

    def reject(self, now: float) -> list[Pair]:
        """Let die as ``MessageController.reject`` promises, and return those that did not."""
        mine = self._mine(self._pairs(), now)
        if not mine:
            return list(self._held)
        where = _under_claims(self._place, mine, now)
        done = self._store.messages.update_many(
            where, states.dead_update(DeadLetterReason.REJECTED, now), hint=states.BY_ID
        )
        return self._left(mine, done.modified_count, {"s": {"$ne": DEAD}})

    def _pairs(self) -> set[Pair]:
        """Return those that there can be."""
        return {
            (message, claim)
            for message, claim in self._held
            if codec.parse_id(message) is not None and codec.is_claim_id(claim)
        }

    def _mine(self, pairs: set[Pair], now: float) -> set[Pair]:
        """Return those of the pairs that are so: what is gone looks the same whoever deleted it, so it is asked before.

        One alone is not asked for, and neither is what only this process can have deleted.
        """
        is_sure = self._store.claim_cache.holds_all(pairs, now)
        self._store.claim_cache.discard(message for message, _ in pairs)
        if len(pairs) < 2 or is_sure:  # noqa: PLR2004 - one alone
            return pairs
        shown = {"_id": 1, "c": 1}
        where = _under_claims(self._place, pairs, now)
        cursor = self._store.messages.find(where, shown, batch_size=10_000, hint=states.BY_ID)
        return {(found["_id"].hex(), found["c"]) for found in cursor}

    def _left(self, mine: set[Pair], advance: int, unsettled: Filter) -> list[Pair]:
        """Return those of all pairs that were not settled, of which so many were."""
        if not advance:
            mine = set()
        elif advance < len(mine):
            # A claim ended in between. What is still there was not settled.
            ids = [codec.parse_id(message) for message, _ in mine]
            cursor = self._store.messages.find({**self._place, "_id": {"$in": ids}, **unsettled}, {"_id": 1})
            left = {found["_id"].hex() for found in cursor}
            mine = {pair for pair in mine if pair[0] not in left}
        return [pair for pair in self._held if tuple(pair) not in mine]


def acknowledge(store: Store, project: Project, queue: str, held: Sequence[Pair], now: float) -> list[Pair]:
    """Delete for good, and return those that were not deleted."""
    return Acknowledgement(store, project, queue, held).delete(now)


def _under_claims(where: Filter, pairs: Iterable[Pair], now: float) -> Filter:
    by_claim: dict[str, list[bytes | None]] = {}
    for message, claim in pairs:
        by_claim.setdefault(claim, []).append(codec.parse_id(message))
    ids = [message for each in by_claim.values() for message in each]
    claimed = {**where, **states.claimed(now), "_id": {"$in": ids}}
    if len(by_claim) == 1:
        return {**claimed, "c": next(iter(by_claim))}
    # Said by what is not meant: of a choice between claims, the server would try each time which index serves it best.
    others = [{"c": claim, "_id": {"$nin": own}} for claim, own in by_claim.items()]
    return {**claimed, "c": {"$in": [*by_claim]}, "$nor": others}
