"""Deletes or rejects messages under the claims that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.codec import DEAD
from kombu_pool.drivers.mongodb.store import queue_filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store
    from kombu_pool.model import Project

Pair = tuple[str, str]


class ClaimedMessages:
    """Pairs of a message's id and the id of the claim that holds it."""

    def __init__(self, store: Store, project: Project, queue: str, held: Sequence[Pair]) -> None:
        self._store = store
        # Without the incarnation: a claim's id is unique, also among the incarnations of a queue.
        self._queue = queue_filter(project, queue)
        self._held = held

    def delete(self, now: float) -> list[Pair]:
        """Delete the messages as ``MessageController.delete_claimed`` promises; return the pairs that were refused."""
        pairs = self._well_formed()
        if not pairs:
            return list(self._held)
        live = self._live(pairs, now)
        # Even if none is live: an earlier try may have deleted them without a majority, which this write waits for.
        where = _under_claims(self._queue, live or pairs, now)
        deleted = self._store.messages.delete_many(where, hint=states.BY_ID).deleted_count
        return self._refused(live, deleted, {})

    def reject(self, now: float, reason: str) -> list[Pair]:
        """Mark the messages dead as ``MessageController.reject`` promises; return the pairs that were refused."""
        live = self._live(self._well_formed(), now)
        if not live:
            return list(self._held)
        where, update = _under_claims(self._queue, live, now), states.dead_update(reason, now)
        rejected = self._store.messages.update_many(where, update, hint=states.BY_ID).modified_count
        return self._refused(live, rejected, {"s": {"$ne": DEAD}})

    def _well_formed(self) -> set[Pair]:
        """Return the pairs of possible ids."""
        return {
            (message, claim)
            for message, claim in self._held
            if codec.parse_id(message) is not None and codec.is_claim_id(claim)
        }

    def _live(self, pairs: set[Pair], now: float) -> set[Pair]:
        """Return the pairs whose claim holds the message, read before the change as it would hide which they were.

        Not read: a single pair, whose count of changed messages suffices, and pairs that the claim cache vouches for.
        """
        is_certain = self._store.claim_cache.holds_all(pairs, now)
        self._store.claim_cache.discard(message for message, _ in pairs)
        if len(pairs) < 2 or is_certain:  # noqa: PLR2004 - a single pair
            return pairs
        where = _under_claims(self._queue, pairs, now)
        cursor = self._store.messages.find(where, {"_id": 1, "c": 1}, batch_size=10_000, hint=states.BY_ID)
        return {(found["_id"].hex(), found["c"]) for found in cursor}

    def _refused(self, live: set[Pair], count: int, unsettled: Filter) -> list[Pair]:
        """Return the pairs that were refused, if ``count`` messages were settled."""
        if not count:
            live = set()
        elif count < len(live):
            # A claim ended meanwhile: the messages that still exist were not settled.
            ids = [codec.parse_id(message) for message, _ in live]
            cursor = self._store.messages.find({**self._queue, "_id": {"$in": ids}, **unsettled}, {"_id": 1})
            left = {found["_id"].hex() for found in cursor}
            live = {pair for pair in live if pair[0] not in left}
        return [pair for pair in self._held if tuple(pair) not in live]


def delete_claimed(store: Store, project: Project, queue: str, held: Sequence[Pair], now: float) -> list[Pair]:
    """Delete messages under their claims; return the pairs that were refused."""
    return ClaimedMessages(store, project, queue, held).delete(now)


def _under_claims(where: Filter, pairs: Iterable[Pair], now: float) -> Filter:
    by_claim: dict[str, list[bytes | None]] = {}
    for message, claim in pairs:
        by_claim.setdefault(claim, []).append(codec.parse_id(message))
    ids = [message for each in by_claim.values() for message in each]
    claimed = {**where, **states.claimed(now), "_id": {"$in": ids}}
    if len(by_claim) == 1:
        return {**claimed, "c": next(iter(by_claim))}
    # By exclusion: for a disjunction of claims the server would evaluate several plans each time.
    others = [{"c": claim, "_id": {"$nin": own}} for claim, own in by_claim.items()]
    return {**claimed, "c": {"$in": [*by_claim]}, "$nor": others}
