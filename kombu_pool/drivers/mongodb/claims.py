"""Claims of messages: renewal and release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.claiming import Claimer, claim_by_id
from kombu_pool.drivers.mongodb.store import queue_filter
from kombu_pool.drivers.records import to_seconds
from kombu_pool.errors import ClaimDoesNotExist

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Claim, ClaimMetadata, Message, Project


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
        now, held = self._store.now(), 0
        if codec.is_claim_id(claim_id):
            renewed = states.claim_pipeline(claim_id, now, metadata["ttl"], metadata["grace"], count=False)
            with self._client.translated():
                where = self._held(queue, project, claim_id, now)
                held = self._store.messages.update_many(where, renewed, hint=states.BY_CLAIM).matched_count
                if held:
                    self._store.expect_due(project, queue, now + metadata["ttl"])
                    self._store.claim_cache.renew(claim_id, now + metadata["ttl"])
        if not held:
            # The claim may have ended, and its messages may have been claimed by others.
            self._store.claim_cache.end(claim_id)
            raise ClaimDoesNotExist(claim_id, queue, project)

    def delete(self, queue: str, claim_id: str, project: Project = None) -> None:
        if codec.is_claim_id(claim_id):
            self._store.claim_cache.end(claim_id)
            with self._client.translated():
                where = self._held(queue, project, claim_id, self._store.now())
                self._store.messages.update_many(where, states.RELEASE, hint=states.BY_CLAIM)
                self._store.record_returned(project, queue)

    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project = None
    ) -> tuple[str | None, Sequence[Message]]:
        with self._client.translated():
            return claim_by_id(self._store, queue, codec.parse_ids(message_ids), metadata, project)

    def release(self, queue: str, claim_id: str, message_ids: Iterable[str], project: Project = None) -> int:
        ids = codec.parse_ids(message_ids)
        if not ids or not codec.is_claim_id(claim_id):
            return 0
        self._store.claim_cache.discard(message.hex() for message in ids)
        with self._client.translated():
            where = {**self._held(queue, project, claim_id, self._store.now()), "_id": {"$in": ids}}
            released = self._store.messages.update_many(where, states.RELEASE, hint=states.BY_ID).modified_count
            self._store.record_returned(project, queue)
        return released

    def _held(self, queue: str, project: Project, claim_id: str, now: float) -> Filter:
        # Without the incarnation: a claim's id is unique, also among the incarnations of a queue.
        return {**queue_filter(project, queue), **states.claimed(now, claim_id), "x": {"$gt": now}}
