"""Dead messages: how they die, and how they are buried."""

from __future__ import annotations

import logging
import time
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from bson import MaxKey

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.codec import DEAD
from kombu_pool.drivers.mongodb.dead_letter_moves import DeadLetterMover, Reservation, posted, to_dead_letter
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

#: Letters that move within this store in one step, and the bytes after which a step takes no more of them.
_HERE = 500
_BYTES = 8 << 20
#: Letters that are kept from others while other stores are asked to take them.
_ABROAD = 50
#: Steps of somebody who has something else to do, and of somebody who has not.
_SOME = 4
_MANY = 100
#: Seconds for which nobody who has something else to do tries again to bury what could not be.
_RETRY_AFTER = 1.0
_SULKS = 1000
_LAST: Final = MaxKey()


class DeadLetters:
    """Buries what is dead: the first to die first, and only one process at a time in one queue."""

    def __init__(self, store: QueueScanner, hooks: DeadLetterHooks) -> None:
        self._store = store
        self._hooks = hooks
        self._queues = QueueController(store)
        self._mover = DeadLetterMover(store)
        self._retry_at: dict[bytes, float] = {}

    # Dying.

    def mark_dead(self, where: Filter, reason: str, **changes: Any) -> int:
        """Let messages die; return how many did."""
        update = states.dead_update(reason, self._store.now(), **changes)
        return self._store.messages.update_many(where, update).modified_count

    def expire(self, queue: Queue, most: int | None = None) -> int:
        """Let die what expired in a queue, if that is to be buried; return how many did."""
        if queue.expires_to_dlq_since is None:
            return 0
        where = {**queue.scope, **states.expiring_to_dlq(queue.expires_to_dlq_since, self._store.now())}
        return self._store.change(where, states.dead_update(DeadLetterReason.EXPIRED, "$x"), most, states.BY_EXPIRY)

    def dead_letter_over_limit(self, queue: Queue, messages: Sequence[bytes]) -> None:
        """Dead-letter free messages that were lent too often; those that nobody takes are free again."""
        if self._is_backing_off(queue):
            return
        now, meant = self._store.now(), {**queue.scope, "_id": {"$in": messages}}
        self.mark_dead({**meant, **states.free(now)}, DeadLetterReason.DELIVERY_LIMIT)
        self.dead_letter_some(queue)
        if self._is_backing_off(queue):
            self._store.messages.update_many(
                {**meant, **states.unreserved_dead(now), "w": DeadLetterReason.DELIVERY_LIMIT}, states.REVIVE
            )

    # Burying.

    def dead_letter_with_expired(self, queue: Queue) -> None:
        """Bury some of what is dead in a queue, also what expired there."""
        self.expire(queue, BATCH_SIZE)
        self.dead_letter_some(queue)

    def dead_letter_some(self, queue: Queue) -> None:
        """Bury some of what is dead in a queue, unless that failed just now; the rest waits for who comes next."""
        if not self._is_backing_off(queue):
            self._try(queue, _SOME)

    def dead_letter_all(self) -> int:
        """Bury what is dead in any queue; return how many were buried."""
        self._expire_everywhere()
        buried, after = 0, ("", "", b"")
        while (scope := self._next_scope(after)) is not None:
            queue = self._living(scope)
            buried += self._try(queue, _MANY) if queue is not None else 0
            after = scope["p"], scope["q"], scope["i"]
        return buried

    def _expire_everywhere(self) -> None:
        where = {"e": True, **states.expiring_to_dlq(0.0, self._store.now())}
        while (found := self._store.messages.find_one(where, sort=[("x", 1)], hint=states.BY_DLQ_EXPIRY)) is not None:
            queue = self._living(found)
            since = None if queue is None else queue.expires_to_dlq_since
            if queue is not None:
                self.expire(queue)
            # What expired while its queue did not bury such, or is of a queue that is no more, would be found again.
            until = where["x"] if since is None else {"$lte": since}
            self._store.remove({"p": found["p"], "q": found["q"], "i": found["i"], **where, "x": until})

    def _next_scope(self, after: tuple[str, str, bytes]) -> dict[str, Any] | None:
        """Return where the first dead message lies behind a queue, in the order of the index."""
        beyond = [*zip("pqi", after, strict=True), ("k", _LAST), ("_id", _LAST)]
        order = [(key, 1) for key in "pqi"]
        cursor = self._store.messages.find({"s": DEAD}, {"p": 1, "q": 1, "i": 1}, sort=order, limit=1)
        return next(cursor.hint(states.BY_DEATH).min(beyond), None)

    def _living(self, scope: dict[str, Any]) -> Queue | None:
        queue = self._store.queue(codec.project_of(scope["p"]), scope["q"])
        return queue if queue is not None and queue.incarnation == scope["i"] else None

    def _try(self, queue: Queue, steps: int) -> int:
        self._retry_at.pop(queue.incarnation, None)
        try:
            with self._store.client.translated():
                return self._dead_letter(queue, steps)
        except KombuPoolError as error:
            # Whatever brought the caller here is done already, or does not depend on it.
            logger.warning("Dead messages of queue %r wait to be buried: %s", queue.name, error)
            self._back_off(queue)
            return 0

    def _dead_letter(self, queue: Queue, steps: int) -> int:
        buried = 0
        for _ in range(steps):
            target = queue.policy.dead_letter_queue
            here = None if target is None else self._store.queue(queue.project, target)
            letters = self._first(queue, _ABROAD if here is None else _HERE)
            if not letters:
                break
            gone = self._send(queue, letters) if here is None else self._mover.move(queue, here, letters)
            buried += gone
            if gone < len(letters):
                break
        return buried

    def _first(self, queue: Queue, count: int) -> list[DeadLetterRecord]:
        """Return letters of the first to die; none while somebody else buries them."""
        now, size = self._store.now(), 0
        letters: list[DeadLetterRecord] = []
        where = {**queue.scope, "s": DEAD}
        with self._store.messages.find(where, sort=[*states.DEATH_ORDER], limit=count, hint=states.BY_DEATH) as cursor:
            for stored in takewhile(lambda found: found["r"] <= now, cursor):
                letters.append(to_dead_letter(queue, stored, now))
                size += len(stored["b"])
                if size > _BYTES:
                    break
        return letters

    def _send(self, queue: Queue, letters: Sequence[DeadLetterRecord]) -> int:
        """Hand letters over to others, one by one, and return how many went; meanwhile nobody else does."""
        reservation, until = Reservation(self._store), self._store.now() + RESERVATION_TTL / 2
        reserved = set(reservation.reserve(queue, [letter.message for letter in letters]))
        reserved_filter = [letter for letter in letters if letter.message in reserved]
        for gone, letter in enumerate(reserved_filter):
            if self._store.now() > until or not self._deliver(queue, letter):
                self._leave(queue, reserved_filter[gone:], reservation)
                return gone
        return len(reserved_filter)

    def _leave(self, queue: Queue, letters: Sequence[DeadLetterRecord], reservation: Reservation) -> None:
        """Leave letters to who comes next; what was lent too often is lent meanwhile."""
        messages = [letter.message for letter in letters]
        if any(letter.why == DeadLetterReason.DELIVERY_LIMIT for letter in letters):
            where = {**reservation.reserved_filter(queue, messages), "w": DeadLetterReason.DELIVERY_LIMIT}
            self._store.messages.update_many(where, states.REVIVE)
        reservation.unreserve(queue, messages)

    def _deliver(self, queue: Queue, letter: DeadLetterRecord) -> bool:
        """Hand over one letter that nobody else has, and do what that comes to; return False if it has to wait."""
        where = {**queue.scope, "_id": letter.message, "s": DEAD}
        delivery = self._forward(queue, letter)
        if delivery is DeadLetterOutcome.UNREACHABLE:
            self._back_off(queue)
            return False
        if delivery is DeadLetterOutcome.UNROUTABLE and letter.header["reason"] == DeadLetterReason.UNREADABLE:
            self._keep(queue, letter)
        elif delivery is DeadLetterOutcome.UNROUTABLE and letter.why == DeadLetterReason.DELIVERY_LIMIT:
            self._store.messages.update_one(where, states.REVIVE)
        else:
            self._store.messages.delete_one(where)
        return True

    def _forward(self, queue: Queue, letter: DeadLetterRecord) -> DeadLetterOutcome:
        if letter.target == UNREADABLE_QUEUE and self._store.queue(queue.project, UNREADABLE_QUEUE) is not None:
            return DeadLetterOutcome.UNROUTABLE  # but here
        return forward(self._hooks, queue.project, letter.target, queue.policy, posted(letter))

    def _keep(self, queue: Queue, letter: DeadLetterRecord) -> None:
        """Put what cannot be read, and nobody takes, into a queue of this store."""
        self._queues.create(UNREADABLE_QUEUE, {}, queue.project)
        here = self._store.queue(queue.project, UNREADABLE_QUEUE)
        if here is not None:
            self._store.messages.update_one({**queue.scope, "_id": letter.message, "s": DEAD}, {"$set": {"r": 0.0}})
            self._mover.move(queue, here, [letter])

    def _back_off(self, queue: Queue) -> None:
        if len(self._retry_at) >= _SULKS:
            self._retry_at.clear()
        self._retry_at[queue.incarnation] = time.monotonic() + _RETRY_AFTER

    def _is_backing_off(self, queue: Queue) -> bool:
        return self._retry_at.get(queue.incarnation, 0.0) > time.monotonic()
