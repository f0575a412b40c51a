"""Dead letters: messages on their way to a queue of their own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.drivers.memory.backlog import NEVER, StoredMessage
from kombu_pool.errors import CorruptRecord
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterOutcome, DeadLetterReason, forward

if TYPE_CHECKING:
    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.backlog import Dead
    from kombu_pool.drivers.memory.store import DataStore, Scope, StoredQueue
    from kombu_pool.model import DeadLetter, NewMessage
    from kombu_pool.storage import DeadLetterHooks


@dataclass(slots=True)
class Letter:
    """A message to be moved to the queue ``target`` (None: to an exchange) with another body and header.

    ``ttl`` 0 is for ever.
    """

    scope: Scope
    target: str | None
    message: StoredMessage
    body: Any
    header: DeadLetter
    ttl: float
    expires: float


class DeadLetters:
    """Writes dead letters, and delivers them."""

    def __init__(self, store: DataStore, clock: Clock, hooks: DeadLetterHooks) -> None:
        self._store = store
        self._clock = clock
        self._hooks = hooks

    def letter(self, scope: Scope, message: StoredMessage, reason: str, now: float) -> Letter:
        """Return the letter of a message, which is unreadable if it cannot be read, whatever the reason."""
        queue = self._store.queues[scope]
        try:
            body = codec.decode(message.record)
        except CorruptRecord as error:
            return self.unreadable(scope, message, now, error, here=False)
        return _letter(scope, queue, message, now, queue.policy.dead_letter_queue, reason, body)

    def unreadable(
        self, scope: Scope, message: StoredMessage, now: float, error: CorruptRecord, *, here: bool
    ) -> Letter:
        """Return the letter of a message that cannot be read; ``here``: to a queue of this store, whatever happens."""
        queue = self._store.queues[scope]
        target = (None if here else queue.policy.dead_letter_queue) or UNREADABLE_QUEUE
        body = {"record": message.record, "error": str(error)}
        return _letter(scope, queue, message, now, target, DeadLetterReason.UNREADABLE, body)

    def is_local(self, letter: Letter) -> bool:
        """Tell whether the letter's queue is in this store."""
        return (letter.scope[0], letter.target) in self._store.queues

    def keep(self, letter: Letter, now: float) -> None:
        """Put a letter into its queue in this store, which is made if need be."""
        scope = (letter.scope[0], letter.target or UNREADABLE_QUEUE)
        queue = self._store.queues.get(scope)
        if queue is None:
            queue = self._store.queues[scope] = self._store.new_queue(scope, {})
        ttl, expires = letter.ttl, letter.expires
        longest = queue.policy.ttl
        if longest and expires > now + longest:
            ttl, expires = longest, now + longest
        moved = StoredMessage(
            sequence=self._store.next_id(),
            record=codec.encode(letter.body, sys.maxsize),
            created=letter.message.created,
            ttl=ttl,
            expires=expires,
            priority=letter.message.priority,
            client=letter.message.client,
            dead_letter=letter.header,
        )
        queue.backlog.add(moved, now)

    def forward(self, letter: Letter) -> DeadLetterOutcome:
        """Hand a letter to another store, not under the lock: that store has one too, and may be waiting for ours."""
        found = self._store.queues.get(letter.scope)
        if found is None:
            return DeadLetterOutcome.STORED
        return forward(self._hooks, letter.scope[0], letter.target, found.policy, _posted(letter))

    # Burying.

    def bury_all(self) -> int:
        """Bury what is dead in any queue; return how many were buried."""
        now = self._clock.time()
        with self._store.lock:
            scopes = [scope for scope, queue in self._store.queues.items() if queue.settle(now) or queue.backlog.dead]
        return sum(self.dead_letter(scope) for scope in scopes)

    def dead_letter(self, scope: Scope) -> int:
        """Bury what is dead in a queue; return how many were buried."""
        with self._store.lock:
            buried, abroad = self._bury_here(scope, self._clock.time())
        for letter in abroad:
            delivery = self.forward(letter)
            with self._store.lock:
                buried += self._close(letter, delivery)
        return buried

    def _bury_here(self, scope: Scope, now: float) -> tuple[int, list[Letter]]:
        """Move letters within this store; return how many, and those for other stores, which nobody else gets now."""
        found = self._store.queues.get(scope)
        waiting = [dead for dead in found.backlog.dead.values() if dead.parked_until <= now] if found else []
        letters = [self._letter_of(scope, dead, now) for dead in waiting]
        abroad = []
        for dead, letter in zip(waiting, letters, strict=True):
            if self.is_local(letter):
                self.keep(letter, now)
                self._forget(letter)
            else:
                dead.parked_until = now + RESERVATION_TTL
                abroad.append(letter)
        return len(letters) - len(abroad), abroad

    def _letter_of(self, scope: Scope, dead: Dead, now: float) -> Letter:
        return self.letter(scope, dead.message, dead.reason, now)

    def _close(self, letter: Letter, delivery: DeadLetterOutcome) -> bool:
        """Do with a letter what became of it; return whether it is buried."""
        if delivery is DeadLetterOutcome.UNREACHABLE:
            found = self._store.queues.get(letter.scope)
            if found is not None and letter.message.id in found.backlog.dead:
                found.backlog.dead[letter.message.id].parked_until = 0.0
            return False
        if delivery is DeadLetterOutcome.UNROUTABLE and letter.header["reason"] == DeadLetterReason.UNREADABLE:
            letter.target = UNREADABLE_QUEUE
            self.keep(letter, letter.header["time"])
        self._forget(letter)
        return True

    def _forget(self, letter: Letter) -> None:
        found = self._store.queues.get(letter.scope)
        if found is not None:
            found.backlog.dead.pop(letter.message.id, None)


def _letter(
    scope: Scope,
    queue: StoredQueue,
    message: StoredMessage,
    now: float,
    target: str | None,
    reason: str,
    body: Any,
) -> Letter:
    header: DeadLetter = {"queue": scope[1], "reason": reason, "time": now, "count": message.claim_count}
    ttl = queue.policy.dead_letter_ttl
    if ttl:
        return Letter(scope, target, message, body, header, ttl, now + ttl)
    if message.expires <= now:
        return Letter(scope, target, message, body, header, 0, NEVER)
    return Letter(scope, target, message, body, header, message.ttl, message.expires)


def _posted(letter: Letter) -> NewMessage:
    return {
        "ttl": None if letter.expires == NEVER else letter.expires - letter.header["time"],
        "body": letter.body,
        "delay": 0,
        "priority": letter.message.priority,
        "dead_letter": letter.header,
    }
