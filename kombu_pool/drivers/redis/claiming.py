"""Claims messages, or pops them, and dead-letters those over their delivery limit and those that are unreadable."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.dead_letters import candidate
from kombu_pool.drivers.redis.deletion import ACK, ClaimedPairs
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.drivers.redis.store import RUN_AGAIN
from kombu_pool.errors import (
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    CorruptRecord,
    QueueDoesNotExist,
)
from kombu_pool.storage import DEFAULT_LIMIT, ClaimController
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterReason
from kombu_pool.storage.validation import check_claim

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.drivers.dead_letters import Candidate
    from kombu_pool.drivers.redis.dead_letters import DeadLetters
    from kombu_pool.drivers.redis.keys import KeySets
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import ClaimMetadata, Message, Project

_CLAIM = script("claim")
_ACK_AND_CLAIM = script("ack_and_claim")
_CLAIM_BY_ID = script("claim_by_id")
_RELEASE = script("release")
#: Reply of the scripts that claim when no queue bears the incarnation.
_ABSENT = b"absent"
#: Messages that one run of a script claims; Redis serves no other client meanwhile.
_BATCH = 1000
#: Claims with a lost reply that are remembered, to be released before the next claim.
_MAX_UNCONFIRMED = 100


@dataclass
class ClaimRequest:
    """One call that claims: the claim, the tag of its holder, its ttl, the limit, and what was claimed so far."""

    queue: str
    project: Project
    keys: KeySets
    claim: bytes
    holder: bytes
    ttl: float
    #: None: the messages keep their expiry.
    grace: float | None
    limit: int
    messages: list[Message] = field(default_factory=list)
    #: Messages over their delivery limit that no dead-letter queue takes: claimed nevertheless.
    exempt: list[bytes] = field(default_factory=list)
    #: Incarnation that the queue must bear; None: any queue will do, or none.
    incarnation: str | None = None
    #: Reply to the acknowledgements.
    ack_reply: Sequence[bytes] = ()
    #: Whether the queue has dead messages to dead-letter.
    has_dead: bool = False

    @property
    def missing(self) -> int:
        """How many messages the next run claims."""
        return min(self.limit - len(self.messages), _BATCH)


class Claimer(ClaimController):
    """Claims messages, or pops them."""

    def __init__(self, store: Store, dead_letters: DeadLetters) -> None:
        self._store = store
        self._dead_letters = dead_letters
        self._unconfirmed: deque[tuple[KeySets, bytes]] = deque(maxlen=_MAX_UNCONFIRMED)

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
        request = self._new_request(queue, project, limit, metadata, incarnation)
        self._claim(request)
        return (request.claim.hex(), request.messages) if request.messages else (None, [])

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
        acked = ClaimedPairs(held)
        request = self._new_request(queue, project, limit, metadata, incarnation)
        self._claim(request, acked)
        return acked.refused(request.ack_reply), request.claim.hex() if request.messages else None, request.messages

    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project = None
    ) -> tuple[str | None, Sequence[Message]]:
        check_claim(metadata)
        # After a lost reply the claim holds until it ends.
        ids = codec.parse_ids(list(message_ids))
        if not ids:
            return None, []
        claim, keys = os.urandom(codec.ID_BYTES), self._store.keys(project, queue)
        arguments = (claim, metadata["ttl"], metadata["grace"], b"".join(sorted(ids)))
        found = self._store.run(_CLAIM_BY_ID, keys, *arguments, codec.holder_tag(metadata.get("holder")))
        if not found:
            return None, []
        claimed, records, claim_counts, now = found
        messages, unreadable = [], []
        for index, message in enumerate(codec.split_ids(claimed)):
            count = codec.claim_count_of(claim_counts, index)[0]
            try:
                messages.append(codec.to_message(message, records[index], claim.hex(), count + 1, float(now)))
            except CorruptRecord:
                unreadable.append(message)
        if unreadable:
            self._store.run(_RELEASE, keys, claim, b"".join(unreadable), 0)
        return (claim.hex(), messages) if messages else (None, [])

    def pop(self, queue: str, limit: int, project: Project) -> Sequence[Message]:
        """Pop as ``MessageController.pop`` promises: under a claim, so that an unreadable message is not lost."""
        request = self._new_request(queue, project, limit, None)
        self._claim(request)
        if not request.messages:
            return []
        ids = b"".join(bytes.fromhex(message["id"]) for message in request.messages)
        (joined,) = self._store.client.call(ACK, request.keys.acking, self._store.now(), request.claim, ids)
        refused = set(codec.hex_ids(joined))
        return [message for message in request.messages if message["id"] not in refused]

    def _new_request(
        self,
        queue: str,
        project: Project,
        limit: int,
        metadata: ClaimMetadata | None,
        incarnation: str | None = None,
    ) -> ClaimRequest:
        """Return a request; without metadata it is one that pops."""
        keys, claim = self._store.keys(project, queue), os.urandom(codec.ID_BYTES)
        if metadata is None:
            return ClaimRequest(queue, project, keys, claim, codec.holder_tag(None), RESERVATION_TTL, None, limit)
        holder, ttl, grace = codec.holder_tag(metadata.get("holder")), metadata["ttl"], metadata["grace"]
        return ClaimRequest(queue, project, keys, claim, holder, ttl, grace, limit, incarnation=incarnation)

    def _claim(self, request: ClaimRequest, acked: ClaimedPairs | None = None) -> None:
        if self._unconfirmed:
            self._release_unconfirmed(request.keys)
        try:
            more = self._run(request, acked)
            while more and request.missing > 0:
                more = self._run(request)
        except ConnectionError:
            # The claim may exist, without a holder.
            self._unconfirmed.append((request.keys, request.claim))
            raise
        if request.has_dead:
            self._dead_letters.dead_letter_some((request.project, request.queue))

    def _run(self, request: ClaimRequest, acked: ClaimedPairs | None = None) -> bool:
        """Run the script once, which deletes ``acked`` first; return whether there may be more to claim."""
        missing, reservation = request.missing, os.urandom(codec.ID_BYTES)
        reply = self._call(request, acked, reservation)
        if reply == _ABSENT:
            _check_absence(request)
            return False
        if reply is None:
            return False
        ids, claim_counts, stored, reserved, reserved_counts, reserved_records, expiries, now, *has_dead = reply
        request.has_dead = request.has_dead or bool(has_dead)
        unreadable = self._add_claimed(request, codec.split_ids(ids), claim_counts, stored, float(now))
        over_limit = _over_limit(reserved, reserved_counts, reserved_records, expiries, float(now))
        if over_limit:
            request.exempt += self._dead_letter(request, reservation, over_limit, float(now))
        if unreadable:
            self._dead_letter(request, request.claim, unreadable, float(now))
        return bool(over_limit or unreadable) or len(stored) == missing

    def _dead_letter(
        self, request: ClaimRequest, claim: bytes, messages: Sequence[Candidate], now: float
    ) -> list[bytes]:
        return self._dead_letters.dead_letter_claimed(request.queue, request.project, claim, messages, now)

    def _call(self, request: ClaimRequest, acked: ClaimedPairs | None, reservation: bytes) -> Any:
        """Return the reply to the claim; that to the acknowledgements is kept in ``request.ack_reply``."""
        store, keys = self._store, request.keys
        grace = "" if request.grace is None else request.grace
        exempt = b"".join(request.exempt)
        claiming = (request.claim, request.ttl, grace, request.missing, reservation, RESERVATION_TTL, exempt)
        arguments = (codec.pack_incarnation(request.incarnation), *claiming, request.holder)
        if acked is not None and acked.arguments:
            reply = store.client.call(_ACK_AND_CLAIM, keys.states, store.now(), *arguments, *acked.arguments)
            if reply == _ABSENT:
                return reply
            request.ack_reply, reply = reply
            if reply not in RUN_AGAIN:
                return reply
        elif request.missing <= 0 and request.incarnation is None:
            return None
        return store.run(_CLAIM, keys, *arguments)

    def _add_claimed(
        self, request: ClaimRequest, ids: list[bytes], claim_counts: Sequence[Any], stored: Sequence[bytes], now: float
    ) -> list[Candidate]:
        """Add claimed messages to the request; return the unreadable ones."""
        claim_id = request.claim.hex()
        unreadable = []
        for index, message in enumerate(ids):
            count = codec.claim_count_of(claim_counts, index)[0] if claim_counts else 0
            try:
                request.messages.append(codec.to_message(message, stored[index], claim_id, count + 1, now))
            except CorruptRecord:
                unreadable.append(candidate(message, stored[index], DeadLetterReason.UNREADABLE, count, None, now))
        return unreadable

    def _release_unconfirmed(self, claimed_next: KeySets) -> None:
        """Release the claims whose replies were lost, without those on other nodes, which may be unreachable yet."""
        node_of = self._store.client.node_of
        node = node_of(claimed_next.queue)
        for _ in range(len(self._unconfirmed)):
            keys, claim = self._unconfirmed.popleft()
            if node_of(keys.queue) != node:
                self._unconfirmed.append((keys, claim))
                continue
            try:
                self._store.run(_RELEASE, keys, claim, b"", 1)
            except ConnectionError:
                self._unconfirmed.append((keys, claim))
                raise


def _over_limit(
    reserved: bytes, claim_counts: Sequence[Any], records: Sequence[bytes], expiries: Sequence[Any], now: float
) -> list[Candidate]:
    """Return the messages that a script reserved as over their delivery limit."""
    reason, count_of = DeadLetterReason.DELIVERY_LIMIT, codec.claim_count_of
    return [
        candidate(message, records[index], reason, count_of(claim_counts, index)[0], expiries[index], now)
        for index, message in enumerate(codec.split_ids(reserved))
    ]


def _check_absence(request: ClaimRequest) -> None:
    """Raise QueueDoesNotExist if the queue must bear an incarnation, unless earlier runs claimed messages of it."""
    if request.incarnation is not None and not request.messages:
        raise QueueDoesNotExist(request.queue, request.project)
