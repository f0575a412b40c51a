"""Claims: lending messages for a while, renewing that, and giving them back."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.picking import claim_by_id
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import ClaimDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT
from kombu_pool.storage import ClaimController as Contract

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.drivers.redis.claiming import Lender
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import Claim, ClaimMetadata, Message, Project

RELEASE = script("release", writes=False)
_LEASE = script("get_claim", repeatable=True, writes=False)
_RENEW = script("renew", repeatable=True, writes=False)


class ClaimController(Contract):
    """Claims in a sorted set by their ends."""

    def __init__(self, store: Store, lender: Lender) -> None:
        self._store = store
        self._lender = lender

    def create(
        self, queue: str, metadata: ClaimMetadata, project: Project = None, limit: int = DEFAULT_LIMIT
    ) -> tuple[str | None, Sequence[Message]]:
        return self._lender.lend(queue, metadata, limit, project)

    def get(self, queue: str, claim_id: str, project: Project = None) -> tuple[Claim, Sequence[Message]]:
        claim = codec.id_of(claim_id)
        found = None if claim is None else self._store.run(_LEASE, self._store.keys(project, queue), claim)
        if found is None or claim is None:
            raise ClaimDoesNotExist(claim_id, queue, project)
        times, ids, stored, marks, now = found
        since, ttl = struct.unpack(">dd", times)
        messages = codec.read((stored, marks, [claim] * len(stored), now), codec.split(ids))
        view: Claim = {"id": claim_id, "age": max(0, int(float(now) - since)), "ttl": codec.seconds(ttl)}
        return view, sorted(messages, key=lambda message: message["id"])

    def update(self, queue: str, claim_id: str, metadata: ClaimMetadata, project: Project = None) -> None:
        claim = codec.id_of(claim_id)
        keys = self._store.keys(project, queue)
        if claim is None or not self._store.run(_RENEW, keys, claim, metadata["ttl"], metadata["grace"]):
            raise ClaimDoesNotExist(claim_id, queue, project)

    def delete(self, queue: str, claim_id: str, project: Project = None) -> None:
        claim = codec.id_of(claim_id)
        if claim is not None:
            self._store.run(RELEASE, self._store.keys(project, queue), claim, b"", 1)

    def ack_and_claim(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        metadata: ClaimMetadata,
        project: Project = None,
        limit: int = DEFAULT_LIMIT,
    ) -> tuple[Sequence[tuple[str, str]], str | None, Sequence[Message]]:
        return self._lender.ack_and_claim(queue, held, metadata, limit, project)

    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project = None
    ) -> tuple[str | None, Sequence[Message]]:
        ids = codec.ids_of(list(message_ids))
        return claim_by_id(self._store, self._store.keys(project, queue), ids, metadata) if ids else (None, [])

    def release(self, queue: str, claim_id: str, message_ids: Iterable[str], project: Project = None) -> int:
        claim, ids = codec.id_of(claim_id), codec.ids_of(list(message_ids))
        if claim is None or not ids:
            return 0
        keys = self._store.keys(project, queue)
        return int(self._store.run(RELEASE, keys, claim, b"".join(ids), 1) or 0)
