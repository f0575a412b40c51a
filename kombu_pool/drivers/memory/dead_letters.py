"""Dead letters: from dead messages to a queue of this store, or to the hooks for other stores."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.drivers.memory.states import NEVER, StoredMessage
from kombu_pool.errors import CorruptRecord
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterOutcome, DeadLetterReason, forward

if TYPE_CHECKING:
    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.store import DataStore, Scope, StoredQueue
    from kombu_pool.model import DeadLetter, NewMessage
    from kombu_pool.storage import DeadLetterHooks


@dataclass(slots=True)
class DeadLetterRecord:
    """A message with the body and header that it gets in the queue ``target`` (None: in an exchange).

    ``ttl`` 0: it never expires.
    """

    scope: Scope
    target: str | None
    message: StoredMessage
    body: Any
    header: DeadLetter
    ttl: float
    expires: float


class DeadLetters:
    """Makes dead letters of messages, and stores or forwards them."""

    def __init__(self, store: DataStore, clock: Clock, hooks: DeadLetterHooks) -> None:
        self._store = store
        self._clock = clock
        self._hooks = hooks

    def from_message(self, scope: Scope, message: StoredMessage, reason: str, now: float) -> DeadLetterRecord:
        """Return the dead letter of a message; one that cannot be decoded is unreadable, whatever the reason."""
        queue = self._store.queues[scope]
        try:
            body = codec.decode(message.record)
        except CorruptRecord as error:
            return self.unreadable(scope, message, now, error, here=False)
        return _dead_letter(scope, queue, message, now, queue.policy.dead_letter_queue, reason, body)

    def unreadable(
        self, scope: Scope, message: StoredMessage, now: float, error: CorruptRecord, *, here: bool
    ) -> DeadLetterRecord:
        """Return the dead letter of a message that cannot be decoded; ``here``: for a queue of this store only."""
        queue = self._store.queues[scope]
        target = (None if here else queue.policy.dead_letter_queue) or UNREADABLE_QUEUE
        body = {"record": message.record, "error": str(error)}
        return _dead_letter(scope, queue, message, now, target, DeadLetterReason.UNREADABLE, body)

    def is_local(self, dead_letter: DeadLetterRecord) -> bool:
        """Return whether the target queue is in this store."""
        return (dead_letter.scope[0], dead_letter.target) in self._store.queues

    def store(self, dead_letter: DeadLetterRecord, now: float) -> None:
        """Store a dead letter in its queue of this store, which is created if it is absent."""
        scope = (dead_letter.scope[0], dead_letter.target or UNREADABLE_QUEUE)
        queue = self._store.queues.get(scope)
        if queue is None:
            queue = self._store.queues[scope] = self._store.new_queue(scope, {})
        ttl, expires = dead_letter.ttl, dead_letter.expires
        longest = queue.policy.ttl
        if longest and expires > now + longest:
            ttl, expires = longest, now + longest
        moved = StoredMessage(
            sequence=self._store.next_id(),
            record=codec.encode(dead_letter.body, sys.maxsize),
            created=dead_letter.message.created,
            ttl=ttl,
            expires=expires,
            priority=dead_letter.message.priority,
            client=dead_letter.message.client,
            dead_letter=dead_letter.header,
        )
        queue.backlog.add(moved, now)

    def forward(self, dead_letter: DeadLetterRecord) -> DeadLetterOutcome:
        """Hand a dead letter to a hook; without the lock, as the other store has one too and may wait for ours."""
        found = self._store.queues.get(dead_letter.scope)
        if found is None:
            return DeadLetterOutcome.STORED
        return forward(self._hooks, dead_letter.scope[0], dead_letter.target, found.policy, _new_message(dead_letter))

    def dead_letter_all(self) -> int:
        """Dead-letter the dead messages of every queue; return their number."""
        now = self._clock.time()
        with self._store.lock:
            scopes = [scope for scope, queue in self._store.queues.items() if queue.advance(now) or queue.backlog.dead]
        return sum(self.dead_letter(scope) for scope in scopes)

    def dead_letter(self, scope: Scope) -> int:
        """Dead-letter the dead messages of a queue; return their number."""
        with self._store.lock:
            moved, remote = self._move_locally(scope, self._clock.time())
        for dead_letter in remote:
            outcome = self.forward(dead_letter)
            with self._store.lock:
                moved += self._finish(dead_letter, outcome)
        return moved

    def _move_locally(self, scope: Scope, now: float) -> tuple[int, list[DeadLetterRecord]]:
        """Move dead letters within this store; return their number, and those for other stores, now reserved."""
        found = self._store.queues.get(scope)
        waiting = [dead for dead in found.backlog.dead.values() if dead.reserved_until <= now] if found else []
        dead_letters = [self.from_message(scope, dead.message, dead.reason, now) for dead in waiting]
        remote = []
        for dead, dead_letter in zip(waiting, dead_letters, strict=True):
            if self.is_local(dead_letter):
                self.store(dead_letter, now)
                self._remove(dead_letter)
            else:
                dead.reserved_until = now + RESERVATION_TTL
                remote.append(dead_letter)
        return len(dead_letters) - len(remote), remote

    def _finish(self, dead_letter: DeadLetterRecord, outcome: DeadLetterOutcome) -> bool:
        """Apply the outcome of a forward to this store; return whether the message has left its queue."""
        if outcome is DeadLetterOutcome.UNREACHABLE:
            found = self._store.queues.get(dead_letter.scope)
            if found is not None and dead_letter.message.id in found.backlog.dead:
                found.backlog.dead[dead_letter.message.id].reserved_until = 0.0
            return False
        if outcome is DeadLetterOutcome.UNROUTABLE and dead_letter.header["reason"] == DeadLetterReason.UNREADABLE:
            dead_letter.target = UNREADABLE_QUEUE
            self.store(dead_letter, dead_letter.header["time"])
        self._remove(dead_letter)
        return True

    def _remove(self, dead_letter: DeadLetterRecord) -> None:
        found = self._store.queues.get(dead_letter.scope)
        if found is not None:
            found.backlog.dead.pop(dead_letter.message.id, None)


def _dead_letter(
    scope: Scope,
    queue: StoredQueue,
    message: StoredMessage,
    now: float,
    target: str | None,
    reason: str,
    body: Any,
) -> DeadLetterRecord:
    header: DeadLetter = {"queue": scope[1], "reason": reason, "time": now, "count": message.claim_count}
    ttl = queue.policy.dead_letter_ttl
    if ttl:
        return DeadLetterRecord(scope, target, message, body, header, ttl, now + ttl)
    if message.expires <= now:
        return DeadLetterRecord(scope, target, message, body, header, 0, NEVER)
    return DeadLetterRecord(scope, target, message, body, header, message.ttl, message.expires)


def _new_message(dead_letter: DeadLetterRecord) -> NewMessage:
    return {
        "ttl": None if dead_letter.expires == NEVER else dead_letter.expires - dead_letter.header["time"],
        "body": dead_letter.body,
        "delay": 0,
        "priority": dead_letter.message.priority,
        "dead_letter": dead_letter.header,
    }
