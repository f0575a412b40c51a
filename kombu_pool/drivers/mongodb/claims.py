"""Claims: lending messages for a while, renewing that, and giving them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.mongodb import layout, states
from kombu_pool.drivers.mongodb.picking import claim_by_id
from kombu_pool.drivers.mongodb.store import place
from kombu_pool.errors import ClaimDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT
from kombu_pool.storage import ClaimController as Contract

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.drivers.mongodb.lending import Lender
    from kombu_pool.drivers.mongodb.looking import Lookout
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Claim, ClaimMetadata, Message, Project


class ClaimController(Contract):
    """Claims, written on the messages that they hold."""

    def __init__(self, store: Lookout, lender: Lender) -> None:
        self._store = store
        self._link = store.link
        self._lender = lender

    def create(
        self, queue: str, metadata: ClaimMetadata, project: Project = None, limit: int = DEFAULT_LIMIT
    ) -> tuple[str | None, Sequence[Message]]:
        with self._link.translated():
            return self._lender.lend(queue, metadata, limit, project)

    def get(self, queue: str, claim_id: str, project: Project = None) -> tuple[Claim, Sequence[Message]]:
        now = self._store.now()
        stored = []
        with self._link.translated():
            found = self._store.queue(project, queue) if layout.is_claim(claim_id) else None
            if found is not None:
                where = {**found.scope, **states.claimed(now, claim_id), "x": {"$gt": now}}
                stored = sorted(
                    self._store.messages.find(where, hint=states.BY_CLAIM), key=lambda message: bytes(message["_id"])
                )
        if not stored:
            raise ClaimDoesNotExist(claim_id, queue, project)
        first = stored[0]
        view: Claim = {"id": claim_id, "age": max(0, int(now - first["a"])), "ttl": layout.seconds(first["m"])}
        return view, [layout.shown(message, now) for message in stored]

    def update(self, queue: str, claim_id: str, metadata: ClaimMetadata, project: Project = None) -> None:
        now = self._store.now()
        renewed = states.held(claim_id, now, metadata["ttl"], metadata["grace"], lent=False)
        held = 0
        if layout.is_claim(claim_id):
            with self._link.translated():
                where = self._held(queue, project, claim_id, now)
                held = self._store.messages.update_many(where, renewed, hint=states.BY_CLAIM).matched_count
                if held:
                    self._store.awaits(project, queue, now + metadata["ttl"])
                    self._store.ledger.renewed(claim_id, now + metadata["ttl"])
        if not held:
            # Others may have had its messages: nothing that it held is known any more.
            self._store.ledger.ended(claim_id)
            raise ClaimDoesNotExist(claim_id, queue, project)

    def delete(self, queue: str, claim_id: str, project: Project = None) -> None:
        if layout.is_claim(claim_id):
            self._store.ledger.ended(claim_id)
            with self._link.translated():
                where = self._held(queue, project, claim_id, self._store.now())
                self._store.messages.update_many(where, states.RELEASED, hint=states.BY_CLAIM)
                self._store.overtaken(project, queue)

    def ack_and_claim(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        metadata: ClaimMetadata,
        project: Project = None,
        limit: int = DEFAULT_LIMIT,
    ) -> tuple[Sequence[tuple[str, str]], str | None, Sequence[Message]]:
        with self._link.translated():
            return self._lender.ack_and_claim(queue, held, metadata, limit, project)

    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project = None
    ) -> tuple[str | None, Sequence[Message]]:
        with self._link.translated():
            return claim_by_id(self._store, queue, layout.ids_of(message_ids), metadata, project)

    def release(self, queue: str, claim_id: str, message_ids: Iterable[str], project: Project = None) -> int:
        ids = layout.ids_of(message_ids)
        if not ids or not layout.is_claim(claim_id):
            return 0
        self._store.ledger.forget(message.hex() for message in ids)
        with self._link.translated():
            where = {**self._held(queue, project, claim_id, self._store.now()), "_id": {"$in": ids}}
            released = self._store.messages.update_many(where, states.RELEASED, hint=states.BY_ID).modified_count
            self._store.overtaken(project, queue)
        return released

    def _held(self, queue: str, project: Project, claim_id: str, now: float) -> Filter:
        # A claim's id is never used again: not even by the queue's next life.
        return {**place(project, queue), **states.claimed(now, claim_id), "x": {"$gt": now}}
