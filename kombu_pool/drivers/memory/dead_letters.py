"""Dead letters of a store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.dead_letters import Candidate, DeadLetterMover, Source, Taken
from kombu_pool.drivers.memory.states import StoredMessage
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL
from kombu_pool.storage.moving import is_sealed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.dead_letters import DeadLetter
    from kombu_pool.drivers.memory.states import DeadMessage
    from kombu_pool.drivers.memory.store import DataStore, Scope
    from kombu_pool.storage import DeadLetterHooks


class DeadLetters(DeadLetterMover["Scope"]):
    """Makes dead letters of messages, and stores them."""

    def __init__(self, store: DataStore, clock: Clock, hooks: DeadLetterHooks) -> None:
        super().__init__(hooks)
        self._store = store
        self._clock = clock

    def source(self, scope: Scope, now: float) -> Source[Scope]:
        """Return a queue as the source of dead letters."""
        return Source(scope, *scope, self._store.queues[scope].policy, now)

    def is_local(self, source: Source[Scope], letter: DeadLetter) -> bool:
        """Return whether the target queue is in this store, and not sealed, as one that is moving away is."""
        found = self._store.queues.get((source.project, letter.target or ""))
        return found is not None and not is_sealed(found.incarnation)

    def is_sealed(self, source: Source[Scope], name: str) -> bool:
        found = self._store.queues.get((source.project, name))
        return found is not None and is_sealed(found.incarnation)

    def store(self, source: Source[Scope], letter: DeadLetter) -> None:
        """Store a dead letter in its queue of this store, which is not sealed, and is created if it is absent."""
        scope = (source.project, letter.target or UNREADABLE_QUEUE)
        queue = self._store.queues.get(scope)
        if queue is None:
            queue = self._store.queues[scope] = self._store.new_queue(scope, {})
        number, message, lifetime = self._store.next_id(), letter.message, letter.lifetime(queue.policy.ttl)
        moved = StoredMessage(number, letter.record, message.created, *lifetime, message.priority)
        moved.client, moved.dead_letter, moved.key = message.client, letter.header, message.key
        queue.backlog.add(moved, source.now)

    def dead_letter_all(self) -> int:
        """Dead-letter the dead messages of every queue; return their number."""
        now = self._clock.time()
        with self._store.lock:
            scopes = [scope for scope, queue in self._store.queues.items() if queue.advance(now) or queue.backlog.dead]
        return sum(self.dead_letter(scope) for scope in scopes)

    def take(self, place: Scope) -> Taken[Scope] | None:
        with self._store.lock:
            now = self._clock.time()
            dead = self._dead(place)
            waiting = [one for one in dead.values() if one.reserved_until <= now]
            if not waiting:
                return None
            source, reserved = self.source(place, now), []
            for one in waiting:
                letter = source.compose(candidate(one.message, one.reason))
                if self.is_local(source, letter):
                    self.store(source, letter)
                    del dead[one.message.id]
                else:
                    one.reserved_until = now + RESERVATION_TTL
                    reserved.append(letter)
            return Taken(source, len(waiting) - len(reserved), reserved)

    def move(self, source: Source[Scope], letter: DeadLetter) -> None:
        with self._store.lock:
            # If it was sealed just now, the letter stays until its reservation ends.
            if not self.is_sealed(source, letter.target or UNREADABLE_QUEUE):
                self.store(source, letter)
                self.remove(source, letter)

    def remove(self, source: Source[Scope], letter: DeadLetter) -> None:
        with self._store.lock:
            self._dead(source.place).pop(letter.message.id, None)

    def retry_later(self, source: Source[Scope], letters: Sequence[DeadLetter]) -> None:
        with self._store.lock:
            dead = self._dead(source.place)
            for letter in letters:
                if letter.message.id in dead:
                    dead[letter.message.id].reserved_until = 0.0

    def _dead(self, scope: Scope) -> dict[str, DeadMessage]:
        found = self._store.queues.get(scope)
        return found.backlog.dead if found else {}


def candidate(message: StoredMessage, reason: str) -> Candidate:
    """Return a message to dead-letter."""
    rest = message.priority, message.created, message.client, message.ttl, message.expires
    return Candidate(message.id, message.record, reason, message.claim_count, *rest, key=message.key)
