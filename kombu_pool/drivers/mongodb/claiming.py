"""How free messages get under a claim: in the queue's order, or by their ids; and how a pop deletes them."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.claim_acquisition import ClaimAcquirer, ClaimRequest
from kombu_pool.drivers.mongodb.deletion import delete_claimed
from kombu_pool.drivers.mongodb.states import ClaimTerms
from kombu_pool.drivers.mongodb.store import queue_filter
from kombu_pool.errors import CorruptRecord
from kombu_pool.storage import DEFAULT_LIMIT, ClaimController
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterReason
from kombu_pool.storage.validation import check_claim

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kombu_pool.drivers.mongodb.dead_letters import DeadLetters
    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner, Scan
    from kombu_pool.model import ClaimMetadata, Message, Project

#: Bound of the list of unconfirmed claims.
_MAX_UNCONFIRMED = 100
#: Frees unreadable messages with the claim count that they had.
_RELEASE_UNCOUNTED: list[dict[str, Any]] = [states.RELEASE, {"$set": {"n": {"$subtract": ["$n", 1]}}}]


class Claimer(ClaimController):
    """Claims messages, and pops them."""

    def __init__(self, store: QueueScanner, dead_letters: DeadLetters) -> None:
        self._store = store
        self._client = store.client
        self._dead_letters = dead_letters
        self._acquirer = ClaimAcquirer(store)
        #: Claims that may hold messages although their call failed.
        self._unconfirmed: deque[tuple[Project, str, str]] = deque(maxlen=_MAX_UNCONFIRMED)

    def create(
        self,
        queue: str,
        metadata: ClaimMetadata,
        project: Project = None,
        limit: int = DEFAULT_LIMIT,
        *,
        incarnation: str | None = None,
    ) -> tuple[str | None, Sequence[Message]]:
        check_claim(metadata)
        with self._client.translated():
            return _result(self._fill(queue, project, limit, ClaimTerms.of(metadata), incarnation))

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
        with self._client.translated():
            return self._ack_and_claim(queue, held, metadata, limit, project, incarnation)

    def _ack_and_claim(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        metadata: ClaimMetadata,
        limit: int,
        project: Project,
        incarnation: str | None,
    ) -> tuple[Sequence[tuple[str, str]], str | None, Sequence[Message]]:
        """Delete and claim, both at the same time if the cache allows."""
        if not held or not limit or not self._store.vouches_for_claims(project, queue, incarnation):
            request = self._fill(queue, project, limit, ClaimTerms.of(metadata), incarnation)
            with self._released_on_failure(project, queue, request.claim):
                refused = delete_claimed(self._store, project, queue, held, self._store.now()) if held else []
            return refused, *_result(request)
        with self._client.concurrently(
            lambda: delete_claimed(self._store, project, queue, held, self._store.now())
        ) as deletion:
            request = self._fill(queue, project, limit, ClaimTerms.of(metadata), incarnation)
            with self._released_on_failure(project, queue, request.claim):
                refused = deletion.result()
        return refused, *_result(request)

    def pop(self, queue: str, limit: int, project: Project) -> Sequence[Message]:
        """Pop as ``MessageController.pop`` promises: claim and then delete, so that unreadable messages stay."""
        request = self._fill(queue, project, limit, ClaimTerms(RESERVATION_TTL, None))
        held = [(message["id"], request.claim) for message in request.messages]
        with self._released_on_failure(project, queue, request.claim):
            refused = set(delete_claimed(self._store, project, queue, held, self._store.now())) if held else set()
        return [message for message in request.messages if (message["id"], request.claim) not in refused]

    def _fill(
        self, queue: str, project: Project, limit: int, terms: ClaimTerms, incarnation: str | None = None
    ) -> ClaimRequest:
        """Claim up to ``limit`` messages under a new claim."""
        self._release_unconfirmed()
        request = ClaimRequest(queue, project, codec.new_claim_id(), terms, limit, incarnation)
        with self._released_on_failure(project, queue, request.claim):
            while request.missing > 0 and self._claim_batch(request):
                pass
        if incarnation is not None and not request.messages:
            # The cache may have vouched for a queue that was deleted meanwhile; a complete scan has just read it.
            self._store.require(project, queue, incarnation)
        return request

    @contextmanager
    def _released_on_failure(self, project: Project, queue: str, claim: str) -> Iterator[None]:
        """If the block fails, have the next claim release this one: it may hold messages that no caller received."""
        try:
            yield
        except BaseException:
            # Any failure: a lost answer, a write that too few members confirmed in time, a signal's handler.
            self._unconfirmed.append((project, queue, claim))
            raise

    def _claim_batch(self, request: ClaimRequest) -> bool:
        """Claim one batch; return whether there may be more messages."""
        now, missing = self._store.now(), request.missing
        scan = self._store.scan(request.project, request.queue, now, missing, request.incarnation)
        if scan is None:
            return False
        if scan.has_dead and not request.has_dead_lettered:
            request.has_dead_lettered = True
            self._dead_letters.dead_letter_with_expired(scan.queue)
        if not scan.first:
            return False
        if over_limit := _over_delivery_limit(scan, request):
            request.exempt.update(over_limit)
            self._dead_letters.dead_letter_over_limit(scan.queue, over_limit)
            return True
        stored = self._acquirer.acquire(request, scan, now)
        scan.scan_bounds.record_claimed(len(stored), now)
        scan.scan_bounds.expect_due(now + request.terms.ttl)
        self._store.claim_cache.add(request.claim, (found["_id"].hex() for found in stored), now + request.terms.ttl)
        if unreadable := self._decode(request, stored, now):
            where = {**scan.queue.scope, "_id": {"$in": unreadable}, "s": codec.DELAYED_OR_CLAIMED, "c": request.claim}
            self._dead_letters.mark_dead(where, DeadLetterReason.UNREADABLE, n={"$add": ["$n", -1]})
            self._dead_letters.dead_letter_some(scan.queue)
        return bool(unreadable) or len(scan.first) == missing

    def _decode(self, request: ClaimRequest, stored: Sequence[dict[str, Any]], now: float) -> list[bytes]:
        """Add claimed messages to the request; return the ids of unreadable ones."""
        unreadable = []
        for found in stored:
            try:
                request.messages.append(codec.to_message(found, now))
            except CorruptRecord:
                unreadable.append(found["_id"])
        return unreadable

    def _release_unconfirmed(self) -> None:
        """Free the messages of claims that no caller received."""
        while True:
            try:
                project, queue, claim = self._unconfirmed.popleft()
            except IndexError:
                return
            with self._released_on_failure(project, queue, claim):
                where = {**queue_filter(project, queue), **states.claimed(self._store.now(), claim)}
                self._store.messages.update_many(where, states.RELEASE, hint=states.BY_CLAIM)
                self._store.record_returned(project, queue)


def claim_by_id(
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


def _result(request: ClaimRequest) -> tuple[str | None, Sequence[Message]]:
    return (request.claim, request.messages) if request.messages else (None, [])


def _over_delivery_limit(scan: Scan, request: ClaimRequest) -> list[bytes]:
    limit = scan.queue.policy.max_claim_count
    if not limit:
        return []
    return [found["_id"] for found in scan.first if found["n"] >= limit and found["_id"] not in request.exempt]
