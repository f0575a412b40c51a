"""Claims over many pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool import errors, storage
from kombu_pool.pooling.controllers.routing import Routing
from kombu_pool.storage import DEFAULT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from kombu_pool.model import Claim, ClaimMetadata, Message, Project
    from kombu_pool.pooling.pool_handle import PoolHandle


class ClaimController(Routing, storage.ClaimController):
    """Claims messages in the pools of their queues."""

    def create(
        self,
        queue: str,
        metadata: ClaimMetadata,
        project: Project = None,
        limit: int = DEFAULT_LIMIT,
        *,
        incarnation: str | None = None,
    ) -> tuple[str | None, Sequence[Message]]:
        _, _, pool, present = self._route(queue, project)
        if incarnation is not None:
            present = incarnation
        try:
            with pool:
                return pool.claims.create(queue, metadata, project, limit, incarnation=present)
        except errors.QueueDoesNotExist:
            if incarnation is not None:
                raise
        try:
            pool, present = self._catalog.lives.current(queue, project, present)
            with pool:
                return pool.claims.create(queue, metadata, project, limit, incarnation=present)
        except errors.QueueDoesNotExist:
            return None, []

    def get(self, queue: str, claim_id: str, project: Project = None) -> tuple[Claim, Sequence[Message]]:
        with self._pool(queue, project) as pool:
            return pool.claims.get(queue, claim_id, project)

    def update(self, queue: str, claim_id: str, metadata: ClaimMetadata, project: Project = None) -> None:
        with self._pool(queue, project) as pool:
            pool.claims.update(queue, claim_id, metadata, project)

    def renew(
        self, claims: Sequence[tuple[Project, str, str]], metadata: ClaimMetadata
    ) -> Sequence[tuple[Project, str, str]]:
        ended: list[tuple[Project, str, str]] = []

        def renew(pool: PoolHandle, named: Sequence[tuple[Project, str, str]]) -> None:
            ended.extend(pool.claims.renew(named, metadata))

        self._in_each_pool(claims, renew)
        return ended

    def end_claims(self, holder: str, queues: Sequence[tuple[Project, str]], *, keep: Collection[str] = ()) -> int:
        freed: list[int] = []

        def end_claims(pool: PoolHandle, named: Sequence[tuple[Project, str]]) -> None:
            freed.append(pool.claims.end_claims(holder, named, keep=keep))

        self._in_each_pool(queues, end_claims)
        return sum(freed)

    def delete(self, queue: str, claim_id: str, project: Project = None) -> None:
        with self._pool(queue, project) as pool:
            pool.claims.delete(queue, claim_id, project)

    def ack_and_claim(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        metadata: ClaimMetadata,
        project: Project = None,
        limit: int = DEFAULT_LIMIT,
        *,
        incarnation: str | None = None,
    ) -> tuple[Sequence[tuple[str, str]], str | None, Sequence[Message]]:
        _, _, pool, present = self._route(queue, project)
        if incarnation is not None:
            present = incarnation
        try:
            with pool:
                return pool.claims.ack_and_claim(queue, held, metadata, project, limit, incarnation=present)
        except errors.QueueDoesNotExist:
            if incarnation is not None:
                raise
            # In another incarnation that kept its messages, the claims of the acknowledgements go on.
            with self._pool(queue, project) as pool:
                refused = pool.messages.delete_claimed(queue, held, project)
            return refused, *self.create(queue, metadata, project, limit)

    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project = None
    ) -> tuple[str | None, Sequence[Message]]:
        with self._pool(queue, project) as pool:
            return pool.claims.claim_by_id(queue, message_ids, metadata, project)

    def release(self, queue: str, claim_id: str, message_ids: Iterable[str], project: Project = None) -> int:
        with self._pool(queue, project) as pool:
            return pool.claims.release(queue, claim_id, message_ids, project)
