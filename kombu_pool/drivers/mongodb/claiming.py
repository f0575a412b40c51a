"""How messages leave the line: to a claim, to a pop, or aside when they were lent too often or cannot be read."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.claim_acquisition import ClaimAcquirer, ClaimRequest
from kombu_pool.drivers.mongodb.deletion import acknowledge
from kombu_pool.drivers.mongodb.store import queue_filter
from kombu_pool.errors import CorruptRecord
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterReason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kombu_pool.drivers.mongodb.dead_letters import DeadLetters
    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner, Scan
    from kombu_pool.model import ClaimMetadata, Message, Project

#: Claims of which nobody heard that are remembered.
_DOUBTFUL = 100


class Claimer:
    """Lends messages, or gives them away."""

    def __init__(self, store: QueueScanner, dead_letters: DeadLetters) -> None:
        self._store = store
        self._dead_letters = dead_letters
        self._acquirer = ClaimAcquirer(store)
        self._doubtful: deque[tuple[Project, str, str]] = deque(maxlen=_DOUBTFUL)

    def lend(
        self, queue: str, metadata: ClaimMetadata, limit: int, project: Project
    ) -> tuple[str | None, Sequence[Message]]:
        """Lend as ``ClaimController.create`` promises."""
        request = self._draw(queue, project, limit, metadata["ttl"], metadata["grace"])
        return _answer(request)

    def ack_and_claim(
        self, queue: str, held: Sequence[tuple[str, str]], metadata: ClaimMetadata, limit: int, project: Project
    ) -> tuple[Sequence[tuple[str, str]], str | None, Sequence[Message]]:
        """Delete and lend as ``ClaimController.ack_and_claim`` promises: at the same time, as neither needs the other."""
        if not held or not limit:
            refused = acknowledge(self._store, project, queue, held, self._store.now()) if held else []
            return refused, *self.lend(queue, metadata, limit, project)
        with self._store.client.concurrently(
            lambda: acknowledge(self._store, project, queue, held, self._store.now())
        ) as done:
            request = self._draw(queue, project, limit, metadata["ttl"], metadata["grace"])
            with self._doubting(project, queue, request.claim):
                refused = done.result()
        return refused, *_answer(request)

    def pop(self, queue: str, limit: int, project: Project) -> Sequence[Message]:
        """Give away as ``MessageController.pop`` promises: what could not be read is not given away unseen."""
        request = self._draw(queue, project, limit, RESERVATION_TTL, None)
        held = [(message["id"], request.claim) for message in request.messages]
        with self._doubting(project, queue, request.claim):
            refused = set(acknowledge(self._store, project, queue, held, self._store.now())) if held else set()
        return [message for message in request.messages if (message["id"], request.claim) not in refused]

    def _draw(self, queue: str, project: Project, limit: int, ttl: float, grace: float | None) -> ClaimRequest:
        self._give_back()
        request = ClaimRequest(queue, project, codec.new_claim_id(), ttl, grace, limit)
        with self._doubting(project, queue, request.claim):
            while request.missing > 0 and self._turn(request):
                pass
        return request

    @contextmanager
    def _doubting(self, project: Project, queue: str, claim: str) -> Iterator[None]:
        """Let the next claim free what this one holds if the block fails: it may have been lent, to nobody."""
        try:
            yield
        except BaseException:
            # Whatever it was: lost answers, too few members in time, a signal's handler.
            self._doubtful.append((project, queue, claim))
            raise

    def _turn(self, request: ClaimRequest) -> bool:
        """Lend once; return whether there may be more."""
        now, missing = self._store.now(), request.missing
        scan = self._store.scan(request.project, request.queue, now, missing)
        if scan is None:
            return False
        if scan.has_dead and not request.has_dead_lettered:
            request.has_dead_lettered = True
            self._dead_letters.dead_letter_with_expired(scan.queue)
        if not scan.first:
            return False
        if overdue := _overdue(scan, request):
            request.unwanted.update(overdue)
            self._dead_letters.dead_letter_over_limit(scan.queue, overdue)
            return True
        stored = self._acquirer.take(request, scan, now)
        scan.scan_bounds.lent(len(stored), now)
        scan.scan_bounds.expect_due(now + request.ttl)
        self._store.claim_cache.add(request.claim, (found["_id"].hex() for found in stored), now + request.ttl)
        if unreadable := self._hand_out(request, stored, now):
            where = {**scan.queue.scope, "_id": {"$in": unreadable}, "s": codec.DELAYED_OR_CLAIMED, "c": request.claim}
            self._dead_letters.mark_dead(where, DeadLetterReason.UNREADABLE, n={"$add": ["$n", -1]})
            self._dead_letters.dead_letter_some(scan.queue)
        return bool(unreadable) or len(scan.first) == missing

    def _hand_out(self, request: ClaimRequest, stored: Sequence[dict[str, Any]], now: float) -> list[bytes]:
        """Add what was lent to the messages; return the ids of what cannot be read."""
        unreadable = []
        for found in stored:
            try:
                request.messages.append(codec.to_message(found, now))
            except CorruptRecord:
                unreadable.append(found["_id"])
        return unreadable

    def _give_back(self) -> None:
        """Free what claims hold of which nobody heard."""
        while True:
            try:
                project, queue, claim = self._doubtful.popleft()
            except IndexError:
                return
            with self._doubting(project, queue, claim):
                where = {**queue_filter(project, queue), **states.claimed(self._store.now(), claim)}
                self._store.messages.update_many(where, states.RELEASE, hint=states.BY_CLAIM)
                self._store.record_returned(project, queue)


def _answer(request: ClaimRequest) -> tuple[str | None, Sequence[Message]]:
    return (request.claim, request.messages) if request.messages else (None, [])


def _overdue(scan: Scan, request: ClaimRequest) -> list[bytes]:
    most = scan.queue.policy.max_claim_count
    if not most:
        return []
    return [found["_id"] for found in scan.first if found["n"] >= most and found["_id"] not in request.unwanted]


#: What frees the unreadable, as if nobody had lent them.
_UNTOUCHED: list[dict[str, Any]] = [states.RELEASE, {"$set": {"n": {"$subtract": ["$n", 1]}}}]


def claim_by_id(
    store: QueueScanner, queue: str, ids: Sequence[bytes], metadata: ClaimMetadata, project: Project
) -> tuple[str | None, Sequence[Message]]:
    """Lend as ``ClaimController.claim_by_id`` promises; a claim whose answer gets lost holds them until it ends."""
    now, claim = store.now(), codec.new_claim_id()
    found = store.advance(project, queue, now)
    if found is None or not ids:
        return None, []
    free = {**found.scope, **states.free(now), "_id": {"$in": list(ids)}}
    store.expect_due(project, queue, now + metadata["ttl"])
    store.messages.update_many(
        free, states.claim_pipeline(claim, now, metadata["ttl"], metadata["grace"], count=True), hint=states.BY_ID
    )
    held = {**found.scope, "s": codec.DELAYED_OR_CLAIMED, "c": claim}
    messages, unreadable = [], []
    for stored in sorted(store.messages.find(held, hint=states.BY_CLAIM), key=lambda one: bytes(one["_id"])):
        try:
            messages.append(codec.to_message(stored, now))
        except CorruptRecord:
            unreadable.append(stored["_id"])
    if unreadable:
        store.messages.update_many({**held, "_id": {"$in": unreadable}}, _UNTOUCHED)
    return (claim, messages) if messages else (None, [])
