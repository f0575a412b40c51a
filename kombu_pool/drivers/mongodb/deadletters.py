"""Dead messages: how they die, and how they are buried."""

from __future__ import annotations

import logging
import time
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from bson import MaxKey

from kombu_pool.drivers.mongodb import layout, states
from kombu_pool.drivers.mongodb.layout import DEAD
from kombu_pool.drivers.mongodb.letters import letter_of, posted
from kombu_pool.drivers.mongodb.moving import Mover
from kombu_pool.drivers.mongodb.parking import Parking
from kombu_pool.drivers.mongodb.queues import QueueController
from kombu_pool.drivers.mongodb.store import AT_ONCE
from kombu_pool.errors import KombuPoolError
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterOutcome, DeadLetterReason, forward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.letters import Letter
    from kombu_pool.drivers.mongodb.looking import Lookout
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
_SULKING = 1.0
_SULKS = 1000
_LAST: Final = MaxKey()


class DeadLetters:
    """Buries what is dead: the first to die first, and only one process at a time in one queue."""

    def __init__(self, store: Lookout, hooks: DeadLetterHooks) -> None:
        self._store = store
        self._hooks = hooks
        self._queues = QueueController(store)
        self._mover = Mover(store)
        self._sulks: dict[bytes, float] = {}

    # Dying.

    def die(self, where: Filter, reason: str, **changes: Any) -> int:
        """Let messages die; return how many did."""
        update = states.dying(reason, self._store.now(), **changes)
        return self._store.messages.update_many(where, update).modified_count

    def expire(self, queue: Queue, most: int | None = None) -> int:
        """Let die what expired in a queue, if that is to be buried; return how many did."""
        if queue.buries_since is None:
            return 0
        where = {**queue.scope, **states.mortal(queue.buries_since, self._store.now())}
        return self._store.change(where, states.dying(DeadLetterReason.EXPIRED, "$x"), most, states.EXPIRING)

    def condemn(self, queue: Queue, messages: Sequence[bytes]) -> None:
        """Dead-letter free messages that were lent too often; those that nobody takes are free again."""
        if self._sulks_at(queue):
            return
        now, meant = self._store.now(), {**queue.scope, "_id": {"$in": messages}}
        self.die({**meant, **states.in_line(now)}, DeadLetterReason.DELIVERY_LIMIT)
        self.attempt(queue)
        if self._sulks_at(queue):
            self._store.messages.update_many(
                {**meant, **states.dead(now), "w": DeadLetterReason.DELIVERY_LIMIT}, states.REVIVED
            )

    # Burying.

    def tend(self, queue: Queue) -> None:
        """Bury some of what is dead in a queue, also what expired there."""
        self.expire(queue, AT_ONCE)
        self.attempt(queue)

    def attempt(self, queue: Queue) -> None:
        """Bury some of what is dead in a queue, unless that failed just now; the rest waits for who comes next."""
        if not self._sulks_at(queue):
            self._try(queue, _SOME)

    def bury_all(self) -> int:
        """Bury what is dead in any queue; return how many were buried."""
        self._expire_everywhere()
        buried, after = 0, ("", "", b"")
        while (scope := self._next_scope(after)) is not None:
            queue = self._living(scope)
            buried += self._try(queue, _MANY) if queue is not None else 0
            after = scope["p"], scope["q"], scope["i"]
        return buried

    def _expire_everywhere(self) -> None:
        where = {"e": True, **states.mortal(0.0, self._store.now())}
        while (found := self._store.messages.find_one(where, sort=[("x", 1)], hint=states.MORTAL)) is not None:
            queue = self._living(found)
            since = None if queue is None else queue.buries_since
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
        return next(cursor.hint(states.DYING).min(beyond), None)

    def _living(self, scope: dict[str, Any]) -> Queue | None:
        queue = self._store.queue(layout.project_of(scope["p"]), scope["q"])
        return queue if queue is not None and queue.incarnation == scope["i"] else None

    def _try(self, queue: Queue, steps: int) -> int:
        self._sulks.pop(queue.incarnation, None)
        try:
            with self._store.link.translated():
                return self._bury(queue, steps)
        except KombuPoolError as error:
            # Whatever brought the caller here is done already, or does not depend on it.
            logger.warning("Dead messages of queue %r wait to be buried: %s", queue.name, error)
            self._sulk(queue)
            return 0

    def _bury(self, queue: Queue, steps: int) -> int:
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

    def _first(self, queue: Queue, count: int) -> list[Letter]:
        """Return letters of the first to die; none while somebody else buries them."""
        now, size = self._store.now(), 0
        letters: list[Letter] = []
        where = {**queue.scope, "s": DEAD}
        with self._store.messages.find(where, sort=[*states.IN_DYING_ORDER], limit=count, hint=states.DYING) as cursor:
            for stored in takewhile(lambda found: found["r"] <= now, cursor):
                letters.append(letter_of(queue, stored, now))
                size += len(stored["b"])
                if size > _BYTES:
                    break
        return letters

    def _send(self, queue: Queue, letters: Sequence[Letter]) -> int:
        """Hand letters over to others, one by one, and return how many went; meanwhile nobody else does."""
        parking, until = Parking(self._store), self._store.now() + RESERVATION_TTL / 2
        parked = set(parking.park(queue, [letter.message for letter in letters]))
        ours = [letter for letter in letters if letter.message in parked]
        for gone, letter in enumerate(ours):
            if self._store.now() > until or not self._deliver(queue, letter):
                self._leave(queue, ours[gone:], parking)
                return gone
        return len(ours)

    def _leave(self, queue: Queue, letters: Sequence[Letter], parking: Parking) -> None:
        """Leave letters to who comes next; what was lent too often is lent meanwhile."""
        messages = [letter.message for letter in letters]
        if any(letter.why == DeadLetterReason.DELIVERY_LIMIT for letter in letters):
            where = {**parking.ours(queue, messages), "w": DeadLetterReason.DELIVERY_LIMIT}
            self._store.messages.update_many(where, states.REVIVED)
        parking.unpark(queue, messages)

    def _deliver(self, queue: Queue, letter: Letter) -> bool:
        """Hand over one letter that nobody else has, and do what that comes to; return False if it has to wait."""
        where = {**queue.scope, "_id": letter.message, "s": DEAD}
        delivery = self._forward(queue, letter)
        if delivery is DeadLetterOutcome.UNREACHABLE:
            self._sulk(queue)
            return False
        if delivery is DeadLetterOutcome.UNROUTABLE and letter.header["reason"] == DeadLetterReason.UNREADABLE:
            self._keep(queue, letter)
        elif delivery is DeadLetterOutcome.UNROUTABLE and letter.why == DeadLetterReason.DELIVERY_LIMIT:
            self._store.messages.update_one(where, states.REVIVED)
        else:
            self._store.messages.delete_one(where)
        return True

    def _forward(self, queue: Queue, letter: Letter) -> DeadLetterOutcome:
        if letter.target == UNREADABLE_QUEUE and self._store.queue(queue.project, UNREADABLE_QUEUE) is not None:
            return DeadLetterOutcome.UNROUTABLE  # but here
        return forward(self._hooks, queue.project, letter.target, queue.policy, posted(letter))

    def _keep(self, queue: Queue, letter: Letter) -> None:
        """Put what cannot be read, and nobody takes, into a queue of this store."""
        self._queues.create(UNREADABLE_QUEUE, {}, queue.project)
        here = self._store.queue(queue.project, UNREADABLE_QUEUE)
        if here is not None:
            self._store.messages.update_one({**queue.scope, "_id": letter.message, "s": DEAD}, {"$set": {"r": 0.0}})
            self._mover.move(queue, here, [letter])

    def _sulk(self, queue: Queue) -> None:
        if len(self._sulks) >= _SULKS:
            self._sulks.clear()
        self._sulks[queue.incarnation] = time.monotonic() + _SULKING

    def _sulks_at(self, queue: Queue) -> bool:
        return self._sulks.get(queue.incarnation, 0.0) > time.monotonic()
