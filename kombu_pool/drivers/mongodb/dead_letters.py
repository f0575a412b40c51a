"""Dead messages: how a message is marked dead, and how it becomes a dead letter."""

from __future__ import annotations

import logging
import time
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from bson import MaxKey

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.codec import DEAD
from kombu_pool.drivers.mongodb.dead_letter_moves import DeadLetterMover, Reservation, to_dead_letter, to_new_message
from kombu_pool.drivers.mongodb.queues import QueueController
from kombu_pool.drivers.mongodb.store import BATCH_SIZE
from kombu_pool.errors import KombuPoolError
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterOutcome, DeadLetterReason, forward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.dead_letter_moves import DeadLetterRecord
    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Queue
    from kombu_pool.storage import DeadLetterHooks

logger = logging.getLogger(__name__)

#: Bounds of the dead letters that move within this store in one step: their number, and the bytes that end a step.
_MOVE_BATCH = 500
_MOVE_BYTES = 8 << 20
#: Number of dead letters that one step reserves and hands to other stores.
_FORWARD_BATCH = 50
#: Number of steps in the course of another operation, and of a call for all queues.
_FEW_STEPS = 4
_MANY_STEPS = 100
#: Time for which a queue whose dead letters could not be handed over is left alone by other operations, in seconds, and
#: the bound of such queues.
_RETRY_AFTER = 1.0
_MAX_BACKED_OFF = 1000
_LAST: Final = MaxKey()


class DeadLetters:
    """Moves dead messages to their targets, in the order of their deaths and from one process at a time per queue."""

    def __init__(self, store: QueueScanner, hooks: DeadLetterHooks) -> None:
        self._store = store
        self._hooks = hooks
        self._queues = QueueController(store)
        self._mover = DeadLetterMover(store)
        #: By incarnation: the monotonic time of the next try.
        self._retry_at: dict[bytes, float] = {}

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
        if self._is_backing_off(queue):
            return
        now, given = self._store.now(), {**queue.scope, "_id": {"$in": messages}}
        self.mark_dead({**given, **states.free(now)}, DeadLetterReason.DELIVERY_LIMIT)
        self.dead_letter_some(queue)
        if self._is_backing_off(queue):
            over_limit = {**given, **states.unreserved_dead(now), "w": DeadLetterReason.DELIVERY_LIMIT}
            self._store.messages.update_many(over_limit, states.REVIVE)

    def dead_letter_with_expired(self, queue: Queue) -> None:
        """Dead-letter some of a queue's dead and expired messages."""
        self.expire(queue, BATCH_SIZE)
        self.dead_letter_some(queue)

    def dead_letter_some(self, queue: Queue) -> None:
        """Dead-letter some of a queue's dead messages, unless a try just failed; the rest is left to later calls."""
        if not self._is_backing_off(queue):
            self._dead_letter_or_back_off(queue, _FEW_STEPS)

    def dead_letter_all(self) -> int:
        """Dead-letter the dead messages of all queues; return their number."""
        self._expire_everywhere()
        moved, after = 0, ("", "", b"")
        while (scope := self._next_scope(after)) is not None:
            queue = self._existing(scope)
            moved += self._dead_letter_or_back_off(queue, _MANY_STEPS) if queue is not None else 0
            after = scope["p"], scope["q"], scope["i"]
        return moved

    def _expire_everywhere(self) -> None:
        where = {"e": True, **states.expiring_to_dlq(0.0, self._store.now())}
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

    def _dead_letter_or_back_off(self, queue: Queue, steps: int) -> int:
        self._retry_at.pop(queue.incarnation, None)
        try:
            with self._store.client.translated():
                return self._dead_letter(queue, steps)
        except KombuPoolError as error:
            # The caller's own operation is done, or does not depend on this.
            logger.warning("Dead letters of queue %r stay there, next try in %g s: %s", queue.name, _RETRY_AFTER, error)
            self._back_off(queue)
            return 0

    def _dead_letter(self, queue: Queue, steps: int) -> int:
        moved = 0
        for _ in range(steps):
            name = queue.policy.dead_letter_queue
            target = None if name is None else self._store.queue(queue.project, name)
            letters = self._first_dead(queue, _FORWARD_BATCH if target is None else _MOVE_BATCH)
            if not letters:
                break
            count = self._send(queue, letters) if target is None else self._mover.move(queue, target, letters)
            moved += count
            if count < len(letters):
                break
        return moved

    def _first_dead(self, queue: Queue, limit: int) -> list[DeadLetterRecord]:
        """Return the dead letters of the first to die; none while another process has reserved the first."""
        now, size = self._store.now(), 0
        letters: list[DeadLetterRecord] = []
        where = {**queue.scope, "s": DEAD}
        with self._store.messages.find(where, sort=[*states.DEATH_ORDER], limit=limit, hint=states.BY_DEATH) as cursor:
            for stored in takewhile(lambda found: found["r"] <= now, cursor):
                letters.append(to_dead_letter(queue, stored, now))
                size += len(stored["b"])
                if size > _MOVE_BYTES:
                    break
        return letters

    def _send(self, queue: Queue, letters: Sequence[DeadLetterRecord]) -> int:
        """Reserve dead letters and hand them to other stores one by one; return the number that is gone."""
        reservation, until = Reservation(self._store), self._store.now() + RESERVATION_TTL / 2
        reserved = set(reservation.reserve(queue, [letter.message for letter in letters]))
        ours = [letter for letter in letters if letter.message in reserved]
        for count, letter in enumerate(ours):
            if self._store.now() > until or not self._send_one(queue, letter):
                self._retry_later(queue, ours[count:], reservation)
                return count
        return len(ours)

    def _retry_later(self, queue: Queue, letters: Sequence[DeadLetterRecord], reservation: Reservation) -> None:
        """End the reservation of dead letters; those over the delivery limit are free meanwhile."""
        messages = [letter.message for letter in letters]
        if any(letter.reason == DeadLetterReason.DELIVERY_LIMIT for letter in letters):
            where = {**reservation.filter(queue, messages), "w": DeadLetterReason.DELIVERY_LIMIT}
            self._store.messages.update_many(where, states.REVIVE)
        reservation.unreserve(queue, messages)

    def _send_one(self, queue: Queue, letter: DeadLetterRecord) -> bool:
        """Hand over one reserved dead letter and apply the outcome; return False if it must wait."""
        where = {**queue.scope, "_id": letter.message, "s": DEAD}
        outcome = self._forward(queue, letter)
        if outcome is DeadLetterOutcome.UNREACHABLE:
            self._back_off(queue)
            return False
        if outcome is DeadLetterOutcome.UNROUTABLE and letter.header["reason"] == DeadLetterReason.UNREADABLE:
            self._keep_unreadable(queue, letter)
        elif outcome is DeadLetterOutcome.UNROUTABLE and letter.reason == DeadLetterReason.DELIVERY_LIMIT:
            self._store.messages.update_one(where, states.REVIVE)
        else:
            self._store.messages.delete_one(where)
        return True

    def _forward(self, queue: Queue, letter: DeadLetterRecord) -> DeadLetterOutcome:
        if letter.target == UNREADABLE_QUEUE and self._store.queue(queue.project, UNREADABLE_QUEUE) is not None:
            return DeadLetterOutcome.UNROUTABLE  # outside this store, which has that queue
        return forward(self._hooks, queue.project, letter.target, queue.policy, to_new_message(letter))

    def _keep_unreadable(self, queue: Queue, letter: DeadLetterRecord) -> None:
        """Move an unreadable dead letter without another target into a queue of this store."""
        self._queues.create(UNREADABLE_QUEUE, {}, queue.project)
        target = self._store.queue(queue.project, UNREADABLE_QUEUE)
        if target is not None:
            self._store.messages.update_one({**queue.scope, "_id": letter.message, "s": DEAD}, {"$set": {"r": 0.0}})
            self._mover.move(queue, target, [letter])

    def _back_off(self, queue: Queue) -> None:
        if len(self._retry_at) >= _MAX_BACKED_OFF:
            self._retry_at.clear()
        self._retry_at[queue.incarnation] = time.monotonic() + _RETRY_AFTER

    def _is_backing_off(self, queue: Queue) -> bool:
        return self._retry_at.get(queue.incarnation, 0.0) > time.monotonic()
