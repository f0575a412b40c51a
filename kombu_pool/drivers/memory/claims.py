"""Claims: reading, renewing, releasing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.memory.claiming import Claimer, is_claim_id
from kombu_pool.drivers.memory.codec import to_claim, to_message
from kombu_pool.drivers.memory.inspection import live_claims
from kombu_pool.errors import ClaimDoesNotExist, QueueDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT
from kombu_pool.storage.validation import check_claim

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from kombu_pool.drivers.memory.states import Backlog, StoredClaim
    from kombu_pool.model import Claim, ClaimMetadata, Message, Project
    from kombu_pool.storage.inspection import LiveClaim


class ClaimController(Claimer):
    """Claims of an in-memory store."""

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
        check_claim(metadata)
        with self._store.lock:
            if incarnation is not None:
                self._store.require(project, queue, self._clock.time(), incarnation)
            refused = self.messages.delete_claimed(queue, held, project)
        try:
            return refused, *self.create(queue, metadata, project, limit, incarnation=incarnation)
        except QueueDoesNotExist:
            # It was deleted between the two: what was deleted is still to be told.
            return refused, None, []

    def get(self, queue: str, claim_id: str, project: Project = None) -> tuple[Claim, Sequence[Message]]:
        with self._store.lock:
            now = self._clock.time()
            _, claim = self._require(queue, claim_id, project, now)
            held = sorted(claim.held.values(), key=lambda message: message.order)
            return to_claim(claim, now), [to_message(message, now) for message in held]

    def update(self, queue: str, claim_id: str, metadata: ClaimMetadata, project: Project = None) -> None:
        if is_claim_id(claim_id):
            check_claim(metadata)
        with self._store.lock:
            now = self._clock.time()
            backlog, claim = self._require(queue, claim_id, project, now)
            backlog.renew(claim, metadata["ttl"], metadata["grace"], now)

    def end_claims(self, holder: str, queues: Sequence[tuple[Project, str]], *, keep: Collection[str] = ()) -> int:
        return sum(self.end_claims_of(holder, queues, keep=keep).values())

    def end_claims_of(
        self, holder: str, queues: Sequence[tuple[Project, str]], *, keep: Collection[str] = ()
    ) -> dict[tuple[Project, str], int]:
        freed = {}
        with self._store.lock:
            now = self._clock.time()
            for project, queue in dict.fromkeys(queues):
                found = self._store.find(project, queue, now)
                freed[project, queue] = found.backlog.end_claims(holder, keep) if found else 0
        return freed

    def release(self, queue: str, claim_id: str, message_ids: Iterable[str], project: Project = None) -> int:
        with self._store.lock:
            backlog, claim = self._find(queue, claim_id, project, self._clock.time())
            if backlog is None or claim is None:
                return 0
            released = [claim.held[message_id] for message_id in dict.fromkeys(message_ids) if message_id in claim.held]
            for message in released:
                backlog.release(message)
            return len(released)

    def live_claims(self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT) -> Sequence[LiveClaim]:
        with self._store.lock:
            now = self._clock.time()
            found = self._store.find(project, queue, now)
            return [*live_claims(found, now, limit)] if found else []

    def _find(
        self, queue: str, claim_id: str, project: Project, now: float
    ) -> tuple[Backlog | None, StoredClaim | None]:
        found = self._store.find(project, queue, now)
        return (found.backlog, found.backlog.claims.get(claim_id)) if found else (None, None)

    def _require(self, queue: str, claim_id: str, project: Project, now: float) -> tuple[Backlog, StoredClaim]:
        backlog, claim = self._find(queue, claim_id, project, now)
        if backlog is None or claim is None:
            raise ClaimDoesNotExist(claim_id, queue, project)
        return backlog, claim
