"""Claims of messages: renewal, release and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo import UpdateMany

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.claim_inspection import live_claims
from kombu_pool.drivers.mongodb.claiming import Claimer
from kombu_pool.drivers.mongodb.states import ClaimTerms
from kombu_pool.drivers.mongodb.store import BATCH_SIZE, one_of, queue_filter
from kombu_pool.drivers.records import to_seconds
from kombu_pool.errors import ClaimDoesNotExist, CorruptRecord
from kombu_pool.storage import DEFAULT_LIMIT
from kombu_pool.storage.inspection import holder_tag
from kombu_pool.storage.validation import check_claim

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Claim, ClaimMetadata, Message, Project
    from kombu_pool.storage.inspection import LiveClaim

    NamedClaim = tuple[Project, str, str]
    NamedClaims = dict[tuple[Project, str], list[str]]

#: Messages of renewed claims that one answer contains.
_READ_BATCH = 10_000
#: Frees unreadable messages with the claim count that they had.
_RELEASE_UNCOUNTED: list[dict[str, Any]] = [states.RELEASE, {"$set": {"n": {"$subtract": ["$n", 1]}}}]


class ClaimController(Claimer):
    """Claims, stored in the messages that they hold."""

    def get(self, queue: str, claim_id: str, project: Project = None) -> tuple[Claim, Sequence[Message]]:
        now = self._store.now()
        stored = []
        with self._client.translated():
            found = self._store.queue(project, queue) if codec.is_claim_id(claim_id) else None
            if found is not None:
                where = {**found.scope, **states.claimed(now, claim_id), "x": {"$gt": now}}
                stored = sorted(
                    self._store.messages.find(where, hint=states.BY_CLAIM), key=lambda message: bytes(message["_id"])
                )
        if not stored:
            raise ClaimDoesNotExist(claim_id, queue, project)
        first = stored[0]
        claim: Claim = {"id": claim_id, "age": max(0, int(now - first["a"])), "ttl": to_seconds(first["m"])}
        return claim, [codec.to_message(message, now) for message in stored]

    def update(self, queue: str, claim_id: str, metadata: ClaimMetadata, project: Project = None) -> None:
        if not codec.is_claim_id(claim_id):
            raise ClaimDoesNotExist(claim_id, queue, project)
        if self.renew([(project, queue, claim_id)], metadata):
            raise ClaimDoesNotExist(claim_id, queue, project)

    def renew(self, claims: Sequence[NamedClaim], metadata: ClaimMetadata) -> Sequence[NamedClaim]:
        check_claim(metadata)
        ended: list[NamedClaim] = []
        with self._client.translated():
            for start in range(0, len(claims), BATCH_SIZE):
                some = claims[start : start + BATCH_SIZE]
                named = _by_queue(some)
                live = self._renew_some(named, metadata) if named else set()
                ended += [claim for claim in some if claim not in live]
        for _, _, claim_id in ended:
            # Other claims may hold its messages.
            self._store.claim_cache.end(claim_id)
        return ended

    def _renew_some(self, named: NamedClaims, metadata: ClaimMetadata) -> set[NamedClaim]:
        """Renew claims with one command; return those that live, which another one reads unless its count tells."""
        now, ttl = self._store.now(), metadata["ttl"]
        filters = [self._held(queue, project, claims, now) for (project, queue), claims in named.items()]
        renewal = states.renewal(now, ttl, metadata["grace"])
        updates = [UpdateMany(where, renewal, hint=states.BY_CLAIM) for where in filters]
        if not self._store.messages.bulk_write(updates, ordered=False).matched_count:
            return set()
        live = {(*scope, claim) for scope, claims in named.items() for claim in claims}
        if len(live) > 1:
            live &= self._read_live(filters)
        for project, queue in {claim[:2] for claim in live}:
            self._store.expect_due(project, queue, now + ttl)
        for _, _, claim_id in live:
            self._store.claim_cache.renew(claim_id, now + ttl)
        return live

    def _read_live(self, filters: Sequence[Filter]) -> set[NamedClaim]:
        """Return the claims of messages."""
        where, fields = filters[0] if len(filters) == 1 else {"$or": filters}, {"_id": 0, "p": 1, "q": 1, "c": 1}
        cursor = self._store.messages.find(where, fields, hint=states.BY_CLAIM, batch_size=_READ_BATCH)
        return {(codec.project_of(found["p"]), found["q"], found["c"]) for found in cursor}

    def end_claims(self, holder: str, queues: Sequence[tuple[Project, str]], *, keep: Collection[str] = ()) -> int:
        filters = self._held_by(holder, queues, keep)
        updates = [UpdateMany(where, states.MAKE_FREE, hint=states.BY_CLAIM) for where in filters]
        if not updates:
            return 0
        with self._client.translated():
            return self._store.messages.bulk_write(updates, ordered=False).modified_count

    def end_claims_of(
        self, holder: str, queues: Sequence[tuple[Project, str]], *, keep: Collection[str] = ()
    ) -> dict[tuple[Project, str], int]:
        if len(set(queues)) <= 1:
            return {scope: self.end_claims(holder, queues, keep=keep) for scope in queues}
        # The answer to the update has one number for all queues.
        where = {"$or": self._held_by(holder, queues, keep)}
        group = {"_id": {"p": "$p", "q": "$q"}, "n": {"$sum": 1}}
        with self._client.translated():
            found = self._store.messages.aggregate([{"$match": where}, {"$group": group}])
            counts = {(codec.project_of(one["_id"]["p"]), one["_id"]["q"]): one["n"] for one in found}
        self.end_claims(holder, queues, keep=keep)
        return {scope: counts.get(scope, 0) for scope in queues}

    def _held_by(self, holder: str, queues: Iterable[tuple[Project, str]], keep: Collection[str]) -> list[Filter]:
        now, tag, kept = self._store.now(), holder_tag(holder), [{"c": {"$in": list(keep)}}]
        return [{**self._held(queue, project, None, now), "h": tag, "$nor": kept} for project, queue in queues]

    def delete(self, queue: str, claim_id: str, project: Project = None) -> None:
        if codec.is_claim_id(claim_id):
            self._store.claim_cache.end(claim_id)
            with self._client.translated():
                where = self._held(queue, project, claim_id, self._store.now())
                self._store.messages.update_many(where, states.RELEASE, hint=states.BY_CLAIM)

    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project = None
    ) -> tuple[str | None, Sequence[Message]]:
        check_claim(metadata)
        with self._client.translated():
            return _claim_by_id(self._store, queue, codec.parse_ids(message_ids), metadata, project)

    def release(self, queue: str, claim_id: str, message_ids: Iterable[str], project: Project = None) -> int:
        ids = codec.parse_ids(message_ids)
        if not ids or not codec.is_claim_id(claim_id):
            return 0
        self._store.claim_cache.discard(message.hex() for message in ids)
        with self._client.translated():
            where = {**self._held(queue, project, claim_id, self._store.now()), "_id": {"$in": ids}}
            return self._store.messages.update_many(where, states.RELEASE, hint=states.BY_ID).modified_count

    def live_claims(self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT) -> Sequence[LiveClaim]:
        with self._client.translated():
            return live_claims(self._store, project, queue, limit)

    def _held(self, queue: str, project: Project, claims: str | Sequence[str] | None, now: float) -> Filter:
        """Return the filter of the messages that one claim, some claims or any claim in a queue holds."""
        # Without the incarnation: a claim's id is unique, also among the incarnations of a queue.
        claim = claims if claims is None or isinstance(claims, str) else one_of(claims)
        return {**queue_filter(project, queue), **states.claimed(now, claim), "x": {"$gt": now}}


def _claim_by_id(
    store: QueueScanner, queue: str, ids: Sequence[bytes], metadata: ClaimMetadata, project: Project
) -> tuple[str | None, Sequence[Message]]:
    """Claim as ``ClaimController.claim_by_id`` promises; a claim whose answer is lost holds its messages to its end."""
    now, claim = store.now(), codec.new_claim_id()
    found = store.advance(project, queue, now)
    if found is None or not ids:
        return None, []
    free = {**found.scope, **states.free(now), "_id": {"$in": list(ids)}}
    store.expect_due(project, queue, now + metadata["ttl"])
    update = states.claim_pipeline(claim, now, ClaimTerms.of(metadata))
    store.messages.update_many(free, update, hint=states.BY_ID)
    held = {**found.scope, "s": codec.DELAYED_OR_CLAIMED, "c": claim}
    messages, unreadable = [], []
    for stored in sorted(store.messages.find(held, hint=states.BY_CLAIM), key=lambda one: bytes(one["_id"])):
        try:
            messages.append(codec.to_message(stored, now))
        except CorruptRecord:
            unreadable.append(stored["_id"])
    if unreadable:
        store.messages.update_many({**held, "_id": {"$in": unreadable}}, _RELEASE_UNCOUNTED)
    return (claim, messages) if messages else (None, [])


def _by_queue(claims: Sequence[NamedClaim]) -> NamedClaims:
    """Return the ids of claims by their queues, each once, without malformed ones."""
    named: NamedClaims = {}
    for project, queue, claim_id in dict.fromkeys(claims):
        if codec.is_claim_id(claim_id):
            named.setdefault((project, queue), []).append(claim_id)
    return named
