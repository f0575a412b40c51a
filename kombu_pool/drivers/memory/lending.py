"""How messages leave the line: to a claim, to a pop, or aside when they were lent too often or cannot be read."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kombu_pool.drivers.memory.backlog import StoredClaim
from kombu_pool.drivers.memory.views import shown
from kombu_pool.errors import CorruptRecord
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterOutcome, DeadLetterReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.backlog import Backlog, StoredMessage
    from kombu_pool.drivers.memory.dead_letters import DeadLetters, Letter
    from kombu_pool.drivers.memory.store import DataStore, Scope
    from kombu_pool.model import ClaimMetadata, Message, Project

_CLAIM_ID = re.compile(r"[0-9a-f]{16}")


def new_claim_id() -> str:
    """Return an id that no other claim has."""
    return f"{secrets.randbits(63):016x}"


def is_claim_id(claim_id: object) -> bool:
    """Tell whether that can be a claim's id at all."""
    return isinstance(claim_id, str) and _CLAIM_ID.fullmatch(claim_id) is not None


@dataclass(slots=True)
class Lending:
    """One call that lends: the claim to lend under (None to give away), how much, and what was lent so far."""

    claim: StoredClaim | None
    grace: float
    limit: int
    now: float
    messages: list[Message] = field(default_factory=list)
    #: Messages that should be dead-lettered but that no other store takes.
    unwanted: set[str] = field(default_factory=set)


class Lender:
    """Lends messages, or gives them away."""

    def __init__(self, store: DataStore, clock: Clock, dead_letters: DeadLetters) -> None:
        self._store = store
        self._clock = clock
        self._dead_letters = dead_letters

    def lend(
        self, queue: str, metadata: ClaimMetadata, limit: int, project: Project
    ) -> tuple[str | None, Sequence[Message]]:
        """Lend as ``ClaimController.create`` promises."""
        now = self._clock.time()
        claim = StoredClaim(new_claim_id(), metadata["ttl"], now)
        lending = Lending(claim, metadata["grace"], limit, now)
        self._draw_all(lending, (project, queue))
        return (claim.id, lending.messages) if lending.messages else (None, [])

    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project
    ) -> tuple[str | None, Sequence[Message]]:
        """Lend as ``ClaimController.claim_by_id`` promises."""
        now = self._clock.time()
        claim = StoredClaim(new_claim_id(), metadata["ttl"], now)
        lending = Lending(claim, metadata["grace"], 0, now)
        with self._store.lock:
            found = self._store.find(project, queue, now)
            if found is not None:
                _pick(lending, found.backlog, message_ids)
        return (claim.id, lending.messages) if lending.messages else (None, [])

    def pop(self, queue: str, limit: int, project: Project) -> Sequence[Message]:
        """Give away as ``MessageController.pop`` promises."""
        lending = Lending(None, 0, limit, self._clock.time())
        self._draw_all(lending, (project, queue))
        return lending.messages

    def _draw_all(self, lending: Lending, scope: Scope) -> None:
        with self._store.lock:
            found = self._store.find(*scope, lending.now)
            letter = self._draw(lending, scope)
        while letter is not None:
            delivered = self._dead_letters.forward(letter) is DeadLetterOutcome.STORED
            with self._store.lock:
                self._unpark(letter.message, scope, delivered=delivered)
                if not delivered:
                    lending.unwanted.add(letter.message.id)
                letter = self._draw(lending, scope)
        if found is not None and found.backlog.dead:
            self._dead_letters.dead_letter(scope)

    def _draw(self, lending: Lending, scope: Scope) -> Letter | None:
        """Lend up to the limit; stop at a message that another store should take, park it and return its letter."""
        found = self._store.queues.get(scope)
        while found is not None and len(lending.messages) < lending.limit:
            message = found.backlog.take()
            if message is None:
                break
            letter = self._serve(lending, scope, message)
            if letter is not None:
                found.backlog.lend(message, StoredClaim(new_claim_id(), RESERVATION_TTL, lending.now))
                return letter
        return None

    def _serve(self, lending: Lending, scope: Scope, message: StoredMessage) -> Letter | None:
        """Hand a message out, or keep it as a dead letter of this store; else return the letter for another store."""
        queue = self._store.queues[scope]
        unwanted = message.id in lending.unwanted
        most = queue.policy.max_claim_count
        try:
            if not most or message.claim_count < most or unwanted:
                _hand_out(lending, queue.backlog, message)
                return None
            letter = self._dead_letters.letter(scope, message, DeadLetterReason.DELIVERY_LIMIT, lending.now)
        except CorruptRecord as error:
            letter = self._dead_letters.unreadable(scope, message, lending.now, error, here=unwanted)
        if not unwanted and not self._dead_letters.is_local(letter):
            return letter
        queue.backlog.remove(message)
        self._dead_letters.keep(letter, lending.now)
        return None

    def _unpark(self, message: StoredMessage, scope: Scope, *, delivered: bool) -> None:
        found = self._store.queues.get(scope)
        if found is None or message.id not in found.backlog.messages:
            return
        if delivered:
            found.backlog.remove(message)
        else:
            found.backlog.release(message)


def _pick(lending: Lending, backlog: Backlog, message_ids: Iterable[str]) -> None:
    for message in backlog.free_of(message_ids):
        with suppress(CorruptRecord):
            _hand_out(lending, backlog, message)
            backlog.withdraw(message)


def _hand_out(lending: Lending, backlog: Backlog, message: StoredMessage) -> None:
    """Lend a message that is out of the line, or will be; or give it away. Raises before it changes anything."""
    view = shown(message, lending.now)
    message.claim_count += 1
    if lending.claim is None:
        backlog.remove(message)
    else:
        backlog.lend(message, lending.claim)
        backlog.prolong(message, lending.claim, lending.grace)
    view["claim_id"], view["claim_count"], view["ttl"] = message.claim_id, message.claim_count, message.ttl
    lending.messages.append(view)
