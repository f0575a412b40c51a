"""Claims over many pools."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kombu_pool import errors, storage
from kombu_pool.pooling.controllers.routing import Routing
from kombu_pool.storage import DEFAULT_LIMIT
from kombu_pool.storage.counters import Counter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from kombu_pool.model import Claim, ClaimMetadata, Message, Project
    from kombu_pool.pooling.pool_handle import PoolHandle
    from kombu_pool.storage.inspection import LiveClaim

logger = logging.getLogger(__name__)


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
                claim, messages = pool.claims.create(queue, metadata, project, limit, incarnation=present)
        except errors.QueueDoesNotExist:
            if incarnation is not None:
                raise
            try:
                pool, present = self._catalog.lives.current(queue, project, present)
                with pool:
                    claim, messages = pool.claims.create(queue, metadata, project, limit, incarnation=present)
            except errors.QueueDoesNotExist:
                return None, []
        self._count_claimed(project, queue, present, messages)
        return claim, messages

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

    def end_claims_of(
        self, holder: str, queues: Sequence[tuple[Project, str]], *, keep: Collection[str] = ()
    ) -> Mapping[tuple[Project, str], int]:
        freed: dict[tuple[Project, str], int] = {}

        def end_claims(pool: PoolHandle, named: Sequence[tuple[Project, str]]) -> None:
            freed.update(pool.claims.end_claims_of(holder, named, keep=keep))

        try:
            self._in_each_pool(queues, end_claims)
        except errors.PoolUnavailable as error:
            logger.debug("The claims of a dead process are ended later: %s", error)
        for (project, queue), count in freed.items():
            if count:
                self._count(project, queue, self._route(queue, project).incarnation, Counter.LOST_CLAIMS, count)
        return freed

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
                refused, claim, messages = pool.claims.ack_and_claim(
                    queue, held, metadata, project, limit, incarnation=present
                )
        except errors.QueueDoesNotExist:
            if incarnation is not None:
                raise
            # In another incarnation that kept its messages, the claims of the acknowledgements go on.
            _, _, pool, present = self._route(queue, project)
            with pool:
                refused = pool.messages.delete_claimed(queue, held, project)
            self._count(project, queue, present, Counter.ACKED, len(held) - len(refused))
            return refused, *self.create(queue, metadata, project, limit)
        self._count(project, queue, present, Counter.ACKED, len(held) - len(refused))
        self._count_claimed(project, queue, present, messages)
        return refused, claim, messages

    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project = None
    ) -> tuple[str | None, Sequence[Message]]:
        _, _, pool, present = self._route(queue, project)
        with pool:
            claim, messages = pool.claims.claim_by_id(queue, message_ids, metadata, project)
        self._count_claimed(project, queue, present, messages)
        return claim, messages

    def release(self, queue: str, claim_id: str, message_ids: Iterable[str], project: Project = None) -> int:
        with self._pool(queue, project) as pool:
            return pool.claims.release(queue, claim_id, message_ids, project)

    def live_claims(self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT) -> Sequence[LiveClaim]:
        with self._pool(queue, project) as pool:
            return pool.claims.live_claims(queue, project, limit)
