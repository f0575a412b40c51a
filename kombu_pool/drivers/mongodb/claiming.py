"""How free messages get under a claim, in the queue's order, although other processes claim at the same time.

A claim scans the first free messages and updates them. If another process claimed some of them in between, the server
chooses: one command searches and claims. It also does for a single message, and for as long as a queue is contended. It
is not always used, as it takes twice as long for many messages.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument
from pymongo.errors import AutoReconnect

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.codec import DELAYED_OR_CLAIMED
from kombu_pool.drivers.mongodb.deletion import Pair, delete_claimed
from kombu_pool.drivers.mongodb.queue_scan import any_free
from kombu_pool.drivers.mongodb.states import ClaimTerms
from kombu_pool.drivers.mongodb.store import BATCH_SIZE, queue_filter
from kombu_pool.errors import CorruptRecord
from kombu_pool.storage import DEFAULT_LIMIT, ClaimController
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterReason
from kombu_pool.storage.validation import check_claim

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.dead_letters import DeadLetters
    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner, Scan
    from kombu_pool.model import ClaimMetadata, Message, Project

#: Bound of the list of unconfirmed claims.
_MAX_UNCONFIRMED = 100

Stored = dict[str, Any]


@dataclass
class ClaimRequest:
    """One claim in the making: its id and terms, and the messages that it has so far."""

    queue: str
    project: Project
    terms: ClaimTerms
    limit: int
    #: The incarnation of its assignment that the queue must bear; None for any.
    incarnation: str | None = None
    claim: str = field(default_factory=codec.new_claim_id)
    messages: list[Message] = field(default_factory=list)
    #: Messages over the delivery limit that are claimed nevertheless, as no dead-letter target takes them.
    exempt: set[bytes] = field(default_factory=set)
    #: Whether this request has handled the queue's dead messages.
    has_dead_lettered: bool = False

    @property
    def missing(self) -> int:
        """The number of messages to claim in the next batch."""
        return min(self.limit - len(self.messages), BATCH_SIZE)

    @property
    def result(self) -> tuple[str | None, Sequence[Message]]:
        """What a claim returns."""
        return (self.claim, self.messages) if self.messages else (None, [])


class Claimer(ClaimController):
    """Claims messages, and pops them."""

    def __init__(self, store: QueueScanner, dead_letters: DeadLetters) -> None:
        self._store = store
        self._client = store.client
        self._dead_letters = dead_letters
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
        request = ClaimRequest(queue, project, ClaimTerms.of(metadata), limit, incarnation)
        with self._client.translated():
            self._fill(request)
        return request.result

    def ack_and_claim(
        self,
        queue: str,
        held: Sequence[Pair],
        metadata: ClaimMetadata,
        project: Project = None,
        limit: int = DEFAULT_LIMIT,
        *,
        incarnation: str | None = None,
    ) -> tuple[Sequence[Pair], str | None, Sequence[Message]]:
        check_claim(metadata)
        request = ClaimRequest(queue, project, ClaimTerms.of(metadata), limit, incarnation)
        with self._client.translated():
            return (self._fill(request, held), *request.result)

    def pop(self, queue: str, limit: int, project: Project) -> Sequence[Message]:
        """Pop as ``MessageController.pop`` promises: claim and then delete, so that unreadable messages stay."""
        request = ClaimRequest(queue, project, ClaimTerms(RESERVATION_TTL, None), limit)
        self._fill(request)
        held = [(message["id"], request.claim) for message in request.messages]
        with self._released_on_failure(request):
            refused = set(self._delete(request, held))
        return [message for message in request.messages if (message["id"], request.claim) not in refused]

    def _fill(self, request: ClaimRequest, held: Sequence[Pair] = ()) -> Sequence[Pair]:
        """Claim up to the request's limit and delete ``held`` messages; return the refused ones of those."""
        self._release_unconfirmed()
        with self._released_on_failure(request):
            scan = self._scan(request)
            if scan is None:
                self._check_incarnation(request)
                return self._delete(request, held)
            if not held:
                self._claim_all(request, scan)
                refused: Sequence[Pair] = ()
            else:
                # After the scan: so both writes wait for the same flush of the server's journal.
                with self._client.concurrently(lambda: self._delete(request, held)) as deletion:
                    self._claim_all(request, scan)
                    refused = deletion.result()
        if not request.messages:
            self._check_incarnation(request)
        return refused

    def _check_incarnation(self, request: ClaimRequest) -> None:
        """Refuse a request that found nothing if the queue is another one: the cache may have vouched for it."""
        if request.incarnation is not None:
            self._store.require(request.project, request.queue, request.incarnation)

    def _scan(self, request: ClaimRequest) -> Scan | None:
        """Return a scan with messages to claim, or one that leaves the choice to the server; None if there are none."""
        while request.missing > 0:
            now, limit = self._store.now(), request.missing
            scan = self._store.scan(request.project, request.queue, now, limit, request.incarnation)
            if scan is not None and scan.has_dead and not request.has_dead_lettered:
                request.has_dead_lettered = True
                self._dead_letters.dead_letter_with_expired(scan.queue)
            if scan is None or (scan.first is not None and not scan.first):
                return None
            over_limit = _over_delivery_limit(scan, request)
            if not over_limit:
                return scan
            request.exempt.update(over_limit)
            self._dead_letters.dead_letter_over_limit(scan.queue, over_limit)
        return None

    def _claim_all(self, request: ClaimRequest, scan: Scan | None) -> None:
        """Claim batch by batch, from the first scan on."""
        while scan is not None and self._claim_batch(request, scan):
            scan = self._scan(request)

    def _claim_batch(self, request: ClaimRequest, scan: Scan) -> bool:
        """Claim one batch; return whether there may be more messages."""
        missing, end = request.missing, scan.plan.now + request.terms.ttl
        stored = self._acquire(request, scan)
        if not stored and scan.first is None:
            # Nothing is free, or due, or other processes were faster: a complete scan shows which.
            scan.plan.cached.expect_due()
        scan.plan.cached.record_claimed(len(stored), scan.plan.now, end)
        self._store.claim_cache.add(request.claim, [found["_id"].hex() for found in stored], end)
        if unreadable := self._decode(request, stored, scan.plan.now):
            where = {**scan.queue.scope, "_id": {"$in": unreadable}, "s": DELAYED_OR_CLAIMED, "c": request.claim}
            self._dead_letters.mark_dead(where, DeadLetterReason.UNREADABLE, n={"$add": ["$n", -1]})
            self._dead_letters.dead_letter_some(scan.queue)
        # Fewer than scanned, but some: contention, under which a claim need not be full.
        return bool(unreadable) or len(stored) in (0, missing)

    def _acquire(self, request: ClaimRequest, scan: Scan) -> list[Stored]:
        """Claim the scanned messages, or those that the server chooses; return those that were claimed."""
        if scan.first is None or (scan.plan.is_blind and not request.exempt):
            return self._acquire_unscanned(request, scan)
        ids, is_uniform = [one["_id"] for one in scan.first], _is_uniform(scan.first)
        count = self._update(request, scan, ids, is_uniform=is_uniform)
        if is_uniform and count == len(ids):
            return [_as_claimed(one, request, scan.plan.now) for one in scan.first]
        if count is not None and count < len(ids):
            scan.plan.cached.record_collision()
        return self._read_claimed(request, scan.queue)

    def _update(self, request: ClaimRequest, scan: Scan, ids: list[bytes], *, is_uniform: bool) -> int | None:
        """Claim those of the scanned messages that are free; return their number, None if the answer was lost."""
        first, now, terms = scan.first or (), scan.plan.now, request.terms
        where = {**scan.queue.scope, **states.free(now), "_id": {"$in": ids}}
        if is_uniform:
            where["n"] = first[0]["n"]
        outlive = is_uniform and all(one["x"] >= now + terms.ttl for one in first)
        update = (states.claim_update if outlive else states.claim_pipeline)(request.claim, now, terms)
        try:
            return self._store.messages.update_many(where, update, hint=states.BY_ID).modified_count
        except AutoReconnect:
            # Messages that the first try claimed are not free any more: the second claims the rest under the same id.
            self._store.messages.update_many(where, update, hint=states.BY_ID)
            return None

    def _acquire_unscanned(self, request: ClaimRequest, scan: Scan) -> list[Stored]:
        """Claim the first free messages by one command; fewer if other processes claim at the same moment."""
        where, now, messages = any_free(scan.plan), scan.plan.now, self._store.messages
        if request.missing == 1:
            update = states.claim_pipeline(request.claim, now, request.terms)
            order, hint, after = [("_id", 1)], states.BY_ORDER, ReturnDocument.AFTER
            one = messages.find_one_and_update(where, update, sort=order, hint=hint, return_document=after)
            stored = [] if one is None else [one]
        else:
            update = states.claim_if_free(request.claim, now, request.terms)
            merge = {"into": messages.name, "whenMatched": update, "whenNotMatched": "discard"}
            first: list[Stored] = [{"$match": where}, {"$sort": {"_id": 1}}, {"$limit": request.missing}]
            messages.aggregate([*first, {"$project": {"p": 1, "q": 1}}, {"$merge": merge}], hint=states.BY_ORDER)
            stored = self._read_claimed(request, scan.queue)
        if stored:
            self._store.record_first(scan, stored[0]["_id"])
        return stored

    def _read_claimed(self, request: ClaimRequest, queue: Queue) -> list[Stored]:
        """Return the messages under the claim that the request does not have yet."""
        had = {bytes.fromhex(message["id"]) for message in request.messages}
        where = {**queue.scope, "s": DELAYED_OR_CLAIMED, "c": request.claim}
        cursor = self._store.messages.find(where, batch_size=BATCH_SIZE, hint=states.BY_CLAIM)
        return sorted((one for one in cursor if one["_id"] not in had), key=lambda one: bytes(one["_id"]))

    def _decode(self, request: ClaimRequest, stored: Sequence[Stored], now: float) -> list[bytes]:
        """Add claimed messages to the request; return the ids of unreadable ones."""
        unreadable = []
        for found in stored:
            try:
                request.messages.append(codec.to_message(found, now))
            except CorruptRecord:
                unreadable.append(found["_id"])
        return unreadable

    def _delete(self, request: ClaimRequest, held: Sequence[Pair]) -> Sequence[Pair]:
        """Delete messages of earlier claims; return those that were refused."""
        return delete_claimed(self._store, request.project, request.queue, held, self._store.now()) if held else ()

    @contextmanager
    def _released_on_failure(self, request: ClaimRequest) -> Iterator[None]:
        """If the block fails, have the next claim release this one: it may hold messages that no caller received."""
        try:
            yield
        except BaseException:
            # Any failure: a lost answer, a write that too few members confirmed in time, a signal's handler.
            self._unconfirmed.append((request.project, request.queue, request.claim))
            raise

    def _release_unconfirmed(self) -> None:
        """Free the messages of claims that no caller received."""
        while self._unconfirmed:
            with suppress(IndexError):  # another thread took it
                project, queue, claim = one = self._unconfirmed.popleft()
                where = {**queue_filter(project, queue), **states.claimed(self._store.now(), claim)}
                try:
                    self._store.messages.update_many(where, states.RELEASE, hint=states.BY_CLAIM)
                except BaseException:
                    self._unconfirmed.append(one)
                    raise


def _is_uniform(scanned: Sequence[Stored]) -> bool:
    """Return whether complete messages with one claim count were scanned: while it stays, no message has changed."""
    return "b" in scanned[0] and len({one["n"] for one in scanned}) == 1


def _as_claimed(found: Stored, request: ClaimRequest, now: float) -> Stored:
    """Return a scanned message as the claim has changed it."""
    changes: Stored = {"c": request.claim, "n": found["n"] + 1}
    ttl, grace, _ = request.terms
    if grace is not None and found["x"] < now + ttl:
        changes["l"] = ttl + grace
    return {**found, **changes}


def _over_delivery_limit(scan: Scan, request: ClaimRequest) -> list[bytes]:
    limit = scan.queue.policy.max_claim_count
    if not limit or scan.first is None:
        return []
    return [found["_id"] for found in scan.first if found["n"] >= limit and found["_id"] not in request.exempt]
