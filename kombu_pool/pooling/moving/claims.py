"""The claims of a queue that is moving: consumers empty the source first, and a claim is settled where it was made."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from kombu_pool import errors
from kombu_pool.storage import DEFAULT_LIMIT, ClaimController

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from kombu_pool.model import Claim, ClaimMetadata, Message, Project
    from kombu_pool.pooling.moving.sides import Sides
    from kombu_pool.pooling.pool_handle import PoolHandle
    from kombu_pool.storage.inspection import LiveClaim

T = TypeVar("T")
#: Time in which a source that had no free message is not asked for one again, in seconds: claimed ones may remain there
#: for hours.
_EMPTY_TTL = 0.1


class MovingClaims(ClaimController):
    """The claims of one queue in both pools."""

    def __init__(self, sides: Sides, sealed: str, is_copying: Callable[[], bool]) -> None:
        self._sides = sides
        self._sealed = sealed
        self._is_copying = is_copying
        self._empty_until = 0.0

    def create(
        self,
        queue: str,
        metadata: ClaimMetadata,
        project: Project = None,
        limit: int = DEFAULT_LIMIT,
        *,
        incarnation: str | None = None,
    ) -> tuple[str | None, Sequence[Message]]:
        if self._is_copying():
            return None, []  # What the target has yet is not the beginning of the queue.
        if time.monotonic() >= self._empty_until:
            claim, messages = self._claim_in_source(queue, metadata, project, limit)
            if messages:
                return claim, messages
            self._empty_until = time.monotonic() + _EMPTY_TTL
        with self._sides.target as target:
            return target.claims.create(queue, metadata, project, limit, incarnation=incarnation)

    def _claim_in_source(
        self, queue: str, metadata: ClaimMetadata, project: Project, limit: int
    ) -> tuple[str | None, Sequence[Message]]:
        # A source that is down keeps no consumer from the target.
        with suppress(errors.QueueDoesNotExist, errors.ConnectionError), self._sides.source() as source:
            return source.claims.create(queue, metadata, project, limit, incarnation=self._sealed)
        return None, []

    def get(self, queue: str, claim_id: str, project: Project = None) -> tuple[Claim, Sequence[Message]]:
        return self._where_it_is(lambda pool: pool.claims.get(queue, claim_id, project))

    def update(self, queue: str, claim_id: str, metadata: ClaimMetadata, project: Project = None) -> None:
        self._where_it_is(lambda pool: pool.claims.update(queue, claim_id, metadata, project))

    def _where_it_is(self, call: Callable[[PoolHandle], T]) -> T:
        with suppress(errors.DoesNotExist), self._sides.source() as source:
            return call(source)
        with self._sides.target as target:
            return call(target)

    def renew(
        self, claims: Sequence[tuple[Project, str, str]], metadata: ClaimMetadata
    ) -> Sequence[tuple[Project, str, str]]:
        with self._sides.source() as source:
            ended = source.claims.renew(claims, metadata)
        if not ended:
            return ended
        with self._sides.target as target:
            return target.claims.renew(ended, metadata)

    def end_claims(self, holder: str, queues: Sequence[tuple[Project, str]], *, keep: Collection[str] = ()) -> int:
        return sum(self._sides.both(lambda pool: pool.claims.end_claims(holder, queues, keep=keep)))

    def live_claims(self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT) -> Sequence[LiveClaim]:
        source, target = self._sides.both(lambda pool: pool.claims.live_claims(queue, project, limit))
        named, claims = 0, []
        for claim in (*source, *target):
            if named < limit:
                claims.append(claim)
            named += len(claim.message_ids)
        return claims

    def delete(self, queue: str, claim_id: str, project: Project = None) -> None:
        self._sides.both(lambda pool: pool.claims.delete(queue, claim_id, project))

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
        refused = self._sides.rest(lambda pool, rest: pool.messages.delete_claimed(queue, rest, project), held)
        return refused, *self.create(queue, metadata, project, limit, incarnation=incarnation)

    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project = None
    ) -> tuple[str | None, Sequence[Message]]:
        ids = [*message_ids]
        return self._sides.first_answer(
            lambda pool: pool.claims.claim_by_id(queue, ids, metadata, project), lambda found: found[0] is not None
        )

    def release(self, queue: str, claim_id: str, message_ids: Iterable[str], project: Project = None) -> int:
        ids = [*message_ids]
        return sum(self._sides.both(lambda pool: pool.claims.release(queue, claim_id, ids, project)))
