"""Taking free messages: into a claim, by a pop, or out of the queue as dead letters (delivery limit, unreadable)."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kombu_pool.drivers.memory.codec import to_message
from kombu_pool.drivers.memory.dead_letters import candidate
from kombu_pool.drivers.memory.states import StoredClaim
from kombu_pool.errors import CorruptRecord
from kombu_pool.storage import DEFAULT_LIMIT, UNREADABLE_QUEUE, ClaimController
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterOutcome, DeadLetterReason
from kombu_pool.storage.validation import check_claim

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.dead_letters import DeadLetter, Source
    from kombu_pool.drivers.memory.dead_letters import DeadLetters
    from kombu_pool.drivers.memory.states import Backlog, StoredMessage
    from kombu_pool.drivers.memory.store import DataStore, Scope
    from kombu_pool.model import ClaimMetadata, Message, Project

_CLAIM_ID = re.compile(r"[0-9a-f]{16}")


def new_claim_id() -> str:
    """Return an id that no other claim has."""
    return f"{secrets.randbits(63):016x}"


def is_claim_id(claim_id: object) -> bool:
    """Return whether the value has the form of a claim id."""
    return isinstance(claim_id, str) and _CLAIM_ID.fullmatch(claim_id) is not None


@dataclass(slots=True)
class ClaimRequest:
    """One call that claims, and its messages so far; without a ``claim`` the call pops."""

    claim: StoredClaim | None
    grace: float
    limit: int
    now: float
    messages: list[Message] = field(default_factory=list)
    #: Ids of messages that are due to be dead-lettered, but that no other store takes.
    untaken: set[str] = field(default_factory=set)


class Claimer(ClaimController):
    """Claims or pops free messages."""

    def __init__(self, store: DataStore, clock: Clock, dead_letters: DeadLetters) -> None:
        self._store = store
        self._clock = clock
        self._dead_letters = dead_letters

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
        now = self._clock.time()
        claim = StoredClaim(new_claim_id(), metadata["ttl"], now, metadata.get("holder"))
        request = ClaimRequest(claim, metadata["grace"], limit, now)
        self._fill(request, (project, queue), incarnation)
        return (claim.id, request.messages) if request.messages else (None, [])

    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project = None
    ) -> tuple[str | None, Sequence[Message]]:
        check_claim(metadata)
        now = self._clock.time()
        claim = StoredClaim(new_claim_id(), metadata["ttl"], now, metadata.get("holder"))
        request = ClaimRequest(claim, metadata["grace"], 0, now)
        with self._store.lock:
            found = self._store.find(project, queue, now)
            if found is not None:
                _hand_out_by_id(request, found.backlog, message_ids)
        return (claim.id, request.messages) if request.messages else (None, [])

    def pop(self, queue: str, limit: int, project: Project) -> Sequence[Message]:
        """Pop as ``MessageController.pop`` promises."""
        request = ClaimRequest(None, 0, limit, self._clock.time())
        self._fill(request, (project, queue))
        return request.messages

    def _fill(self, request: ClaimRequest, scope: Scope, incarnation: str | None = None) -> None:
        # Not one lock for all: two stores may forward dead letters to each other.
        with self._store.lock:
            if incarnation is not None:
                self._store.require(*scope, request.now, incarnation)
            found = self._store.find(*scope, request.now)
            reserved = self._fill_locally(request, scope)
        while reserved is not None:
            forwarded = self._dead_letters.forward(*reserved) is DeadLetterOutcome.STORED
            message_id: str = reserved[1].message.id
            with self._store.lock:
                self._unreserve(message_id, scope, forwarded=forwarded)
                if not forwarded:
                    request.untaken.add(message_id)
                reserved = self._fill_locally(request, scope)
        if found is not None and found.backlog.dead:
            self._dead_letters.dead_letter_some(scope)

    def _fill_locally(self, request: ClaimRequest, scope: Scope) -> tuple[Source[Scope], DeadLetter] | None:
        """Hand out up to the limit; stop at a dead letter for another store, reserve its message and return it."""
        found = self._store.queues.get(scope)
        while found is not None and not found.paused and len(request.messages) < request.limit:
            message = found.backlog.take_first()
            if message is None:
                break
            reserved = self._process(request, scope, message)
            if reserved is not None:
                found.backlog.claim(message, StoredClaim(new_claim_id(), RESERVATION_TTL, request.now))
                return reserved
        return None

    def _process(
        self, request: ClaimRequest, scope: Scope, message: StoredMessage
    ) -> tuple[Source[Scope], DeadLetter] | None:
        """Hand out a message, or store it as a dead letter in this store; return a dead letter for another store."""
        queue = self._store.queues[scope]
        is_untaken = message.id in request.untaken
        limit = queue.policy.max_claim_count
        try:
            if not limit or message.claim_count < limit or is_untaken:
                _hand_out(request, queue.backlog, message)
                return None
        except CorruptRecord:
            pass  # The dead letter says so.
        source = self._dead_letters.source(scope, request.now)
        letter = source.compose(candidate(message, DeadLetterReason.DELIVERY_LIMIT))
        if is_untaken:
            letter.target = UNREADABLE_QUEUE
            if self._dead_letters.is_sealed(source, UNREADABLE_QUEUE):
                # Not freed: this request would find it again, and so on.
                queue.backlog.claim(message, StoredClaim(new_claim_id(), RESERVATION_TTL, request.now))
                return None
        elif not self._dead_letters.is_local(source, letter):
            return source, letter
        queue.backlog.remove(message)
        self._dead_letters.store(source, letter)
        return None

    def _unreserve(self, message_id: str, scope: Scope, *, forwarded: bool) -> None:
        found = self._store.queues.get(scope)
        message = found.backlog.messages.get(message_id) if found else None
        if found is None or message is None:
            return
        if forwarded:
            found.backlog.remove(message)
        else:
            found.backlog.release(message)


def _hand_out_by_id(request: ClaimRequest, backlog: Backlog, message_ids: Iterable[str]) -> None:
    for message in backlog.free_among(message_ids):
        with suppress(CorruptRecord):
            _hand_out(request, backlog, message)
            backlog.take(message)


def _hand_out(request: ClaimRequest, backlog: Backlog, message: StoredMessage) -> None:
    """Claim or pop a message that the caller takes out of the line. Raises before it changes anything."""
    view = to_message(message, request.now)
    message.claim_count += 1
    if request.claim is None:
        backlog.remove(message)
    else:
        backlog.claim(message, request.claim)
        backlog.extend_expiry(message, request.claim, request.grace)
    view["claim_id"], view["claim_count"], view["ttl"] = message.claim_id, message.claim_count, message.ttl
    request.messages.append(view)
