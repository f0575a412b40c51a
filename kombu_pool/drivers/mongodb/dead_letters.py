"""Dead messages: how a message is marked dead, and how it becomes a dead letter."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from bson import MaxKey

from kombu_pool.drivers.dead_letters import NEVER, Candidate, DeadLetterMover, Source, Taken
from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.codec import DEAD
from kombu_pool.drivers.mongodb.dead_letter_moves import Reservation, move_letters
from kombu_pool.drivers.mongodb.queues import QueueController
from kombu_pool.drivers.mongodb.store import BATCH_SIZE
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterOutcome, DeadLetterReason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.drivers.dead_letters import DeadLetter
    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Project
    from kombu_pool.storage import DeadLetterHooks

#: Bounds of the dead letters that move within this store in one step: their number, and the bytes that end a step.
_MOVE_BATCH = 500
_MOVE_BYTES = 8 << 20
#: Number of dead letters that one step reserves and hands to other stores.
_FORWARD_BATCH = 50
#: Dead letters of a queue after which a call for all queues continues with the next.
_QUEUE_LIMIT = 50_000
_LAST: Final = MaxKey()


class DeadLetters(DeadLetterMover["Queue"]):
    """Moves dead messages to their targets, in the order of their deaths and from one process at a time per queue."""

    is_ordered = True
    inline_limit = 500
    retry_after = 1.0

    def __init__(self, store: QueueScanner, hooks: DeadLetterHooks) -> None:
        super().__init__(hooks)
        self._store = store
        self._queues = QueueController(store)

    # Marking messages dead.

    def mark_dead(self, where: Filter, reason: str, **changes: Any) -> int:
        """Mark messages dead; return their number."""
        update = states.dead_update(reason, self._store.now(), **changes)
        return self._store.messages.update_many(where, update).modified_count

    def expire(self, queue: Queue, limit: int | None = None) -> int:
        """Mark a queue's expired messages dead, if its policy makes dead letters of them; return their number."""
        if queue.expires_to_dlq_since is None:
            return 0
        where = {**queue.scope, **states.expiring_to_dlq(queue.expires_to_dlq_since, self._store.now())}
        return self._store.change(where, states.dead_update(DeadLetterReason.EXPIRED, "$x"), limit, states.BY_EXPIRY)

    # Moving dead messages.

    def dead_letter_over_limit(self, queue: Queue, messages: Sequence[bytes]) -> None:
        """Dead-letter free messages over the delivery limit; free those again that no target takes."""
        if self.is_backing_off(queue):
            return
        now, given = self._store.now(), {**queue.scope, "_id": {"$in": messages}}
        self.mark_dead({**given, **states.free(now)}, DeadLetterReason.DELIVERY_LIMIT)
        self.dead_letter_some(queue)
        if self.is_backing_off(queue):
            over_limit = {**given, **states.unreserved_dead(now), "w": DeadLetterReason.DELIVERY_LIMIT}
            self._store.messages.update_many(over_limit, states.REVIVE)

    def dead_letter_with_expired(self, queue: Queue) -> None:
        """Dead-letter some of a queue's dead and expired messages."""
        self.expire(queue, BATCH_SIZE)
        self.dead_letter_some(queue)

    def dead_letter_all(self) -> int:
        """Dead-letter the dead messages of all queues; return their number."""
        if not self._is_any_dead():
            return 0
        self._expire_everywhere()
        moved, after = 0, ("", "", b"")
        while (scope := self._next_scope(after)) is not None:
            queue = self._existing(scope)
            moved += self.try_dead_letter(queue, _QUEUE_LIMIT) if queue is not None else 0
            after = scope["p"], scope["q"], scope["i"]
        return moved

    def _is_any_dead(self) -> bool:
        """Return whether any queue has a dead message, or one that its expiry makes a dead letter: one command."""
        first: list[dict[str, Any]] = [{"$limit": 1}, {"$project": {"_id": 1}}]
        expired = self._store.unions([[{"$match": self._expired_everywhere()}, {"$sort": {"x": 1}}, *first]])
        dead = [{"$match": {"s": DEAD}}, *first]
        return any(self._store.messages.aggregate([*dead, *expired], hint=states.BY_DEATH))

    def _expired_everywhere(self) -> Filter:
        return {"e": True, **states.expiring_to_dlq(0.0, self._store.now())}

    def _expire_everywhere(self) -> None:
        where = self._expired_everywhere()
        while (found := self._store.messages.find_one(where, sort=[("x", 1)], hint=states.BY_DLQ_EXPIRY)) is not None:
            queue = self._existing(found)
            since = None if queue is None else queue.expires_to_dlq_since
            if queue is not None:
                self.expire(queue)
            # Messages that expired without the policy, or of a deleted queue, would be found again.
            until = where["x"] if since is None else {"$lte": since}
            self._store.remove({"p": found["p"], "q": found["q"], "i": found["i"], **where, "x": until})

    def _next_scope(self, after: tuple[str, str, bytes]) -> dict[str, Any] | None:
        """Return the scope of the first dead message after a queue, in the order of the index."""
        beyond = [*zip("pqi", after, strict=True), ("k", _LAST), ("_id", _LAST)]
        order = [(key, 1) for key in "pqi"]
        cursor = self._store.messages.find({"s": DEAD}, {"p": 1, "q": 1, "i": 1}, sort=order, limit=1)
        return next(cursor.hint(states.BY_DEATH).min(beyond), None)

    def _existing(self, scope: dict[str, Any]) -> Queue | None:
        queue = self._store.queue(codec.project_of(scope["p"]), scope["q"])
        return queue if queue is not None and queue.incarnation == scope["i"] else None

    def dead_letter(self, place: Queue, limit: float = NEVER) -> int:
        with self._store.client.translated():
            return super().dead_letter(place, limit)

    def take(self, place: Queue) -> Taken[Queue] | None:
        name = place.policy.dead_letter_queue
        target = None if name is None else self._open_queue(place.project, name)
        reservation = Reservation(self._store, place)
        source = Source(place, place.project, place.name, place.policy, self._store.now(), reservation)
        letters = self._first_dead(source, _FORWARD_BATCH if target is None else _MOVE_BATCH)
        if not letters:
            return None
        if target is not None:
            moved = move_letters(self._store, place, target, letters)
            return Taken(source, moved, is_more=moved == len(letters))
        reserved = set(reservation.reserve([letter.message.id for letter in letters]))
        ours = [letter for letter in letters if letter.message.id in reserved]
        return Taken(source, letters=ours, is_more=len(ours) == len(letters))

    def _first_dead(self, source: Source[Queue], limit: int) -> list[DeadLetter]:
        """Return the dead letters of the first to die; none while another process has reserved the first."""
        size = 0
        letters: list[DeadLetter] = []
        where = {**source.place.scope, "s": DEAD}
        with self._store.messages.find(where, sort=[*states.DEATH_ORDER], limit=limit, hint=states.BY_DEATH) as cursor:
            for stored in takewhile(lambda found: found["r"] <= source.now, cursor):
                letters.append(source.compose(_candidate(stored)))
                size += len(stored["b"])
                if size > _MOVE_BYTES:
                    break
        return letters

    def forward(self, source: Source[Queue], letter: DeadLetter) -> DeadLetterOutcome:
        if self._store.now() > source.now + RESERVATION_TTL / 2:
            return DeadLetterOutcome.UNREACHABLE  # in time: other processes may soon take it
        if letter.target == UNREADABLE_QUEUE and self._open_queue(source.project, UNREADABLE_QUEUE) is not None:
            return DeadLetterOutcome.UNROUTABLE  # outside this store, which has that queue
        return super().forward(source, letter)

    def _open_queue(self, project: Project, name: str) -> Queue | None:
        """Return a queue of this store; None if it has none of that name, or a sealed one."""
        found = self._store.queue(project, name)
        return None if found is None or found.is_sealed else found

    def is_sealed(self, source: Source[Queue], name: str) -> bool:
        found = self._store.queue(source.project, name)
        return found is not None and found.is_sealed

    def move(self, source: Source[Queue], letter: DeadLetter) -> None:
        name = letter.target or UNREADABLE_QUEUE
        self._queues.create(name, {}, source.project)
        target = self._open_queue(source.project, name)
        if target is not None:
            self._store.messages.update_one(_dead(source, letter), {"$set": {"r": 0.0}})
            move_letters(self._store, source.place, target, [letter])

    def remove(self, source: Source[Queue], letter: DeadLetter) -> None:
        self._store.messages.delete_one(_dead(source, letter))

    def retry_later(self, source: Source[Queue], letters: Sequence[DeadLetter]) -> None:
        at_limit = [letter.message.reason == DeadLetterReason.DELIVERY_LIMIT for letter in letters]
        messages = [letter.message.id for letter in letters]
        if any(at_limit):
            where = {**source.reservation.filter(messages), "w": DeadLetterReason.DELIVERY_LIMIT}
            self._store.messages.update_many(where, states.REVIVE)
        if not all(at_limit):
            source.reservation.unreserve(messages)


def _dead(source: Source[Queue], letter: DeadLetter) -> Filter:
    return {**source.place.scope, "_id": letter.message.id, "s": DEAD}


def _candidate(stored: Mapping[str, Any]) -> Candidate:
    message, record, reason, count, created, ttl, expires = (stored[key] for key in ("_id", *"bwntly"))
    priority = codec.priority_of(message)
    return Candidate(
        message, record, reason, count, priority, created, stored.get("u"), ttl, expires, key=stored.get("j")
    )
