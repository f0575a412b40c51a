"""Dead letters: messages that were lent too often, or cannot be read, on their way to a queue of their own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kombu_pool import records
from kombu_pool.drivers.memory.backlog import NEVER, StoredMessage
from kombu_pool.errors import KombuPoolError
from kombu_pool.storage import (
    DEAD_LETTER_QUEUE,
    DEAD_LETTER_TTL,
    DEFAULT_MESSAGE_TTL,
    MAX_CLAIM_COUNT,
    UNREADABLE_QUEUE,
)
from kombu_pool.storage.incoming import heeded

if TYPE_CHECKING:
    from kombu_pool.drivers.memory.store import DataStore, Scope, StoredQueue
    from kombu_pool.errors import CorruptRecord
    from kombu_pool.model import DeadLetter, NewMessage
    from kombu_pool.storage import DataDriver

LENT_TOO_OFTEN = "max_claim_count"
UNREADABLE = "unreadable"


@dataclass(slots=True)
class Letter:
    """A message to be moved to the queue ``target`` with another body and header; ``ttl`` 0 is for ever."""

    target: Scope
    message: StoredMessage
    body: Any
    header: DeadLetter
    ttl: float
    expires: float


class DeadLetters:
    """Decides what is a dead letter, and delivers it."""

    def __init__(self, store: DataStore, driver: DataDriver) -> None:
        self._store = store
        self._driver = driver

    def overdue(self, scope: Scope, queue: StoredQueue, message: StoredMessage, now: float) -> Letter | None:
        """Return the letter of a message that was lent as often as its queue allows, else None.

        Raises:
            CorruptRecord: it was, and it cannot be read.
        """
        most = heeded(queue.metadata, MAX_CLAIM_COUNT)
        target = queue.metadata.get(DEAD_LETTER_QUEUE)
        if not most or not target or message.claim_count < most:
            return None
        return _letter(scope, queue, message, now, target, LENT_TOO_OFTEN, records.decode(message.record))

    def unreadable(
        self, scope: Scope, queue: StoredQueue, message: StoredMessage, now: float, error: CorruptRecord, *, here: bool
    ) -> Letter:
        """Return the letter of a message that cannot be read; ``here``: to a queue of this store, whatever happens."""
        target = queue.metadata.get(DEAD_LETTER_QUEUE)
        if here or not target:
            target = UNREADABLE_QUEUE
        body = {"record": message.record, "error": str(error)}
        return _letter(scope, queue, message, now, target, UNREADABLE, body)

    def is_local(self, letter: Letter) -> bool:
        """Tell whether the letter's queue is in this store."""
        return letter.target in self._store.queues

    def keep(self, letter: Letter, now: float) -> None:
        """Put a letter into its queue in this store, which is made if need be."""
        queue = self._store.queues.get(letter.target)
        if queue is None:
            queue = self._store.queues[letter.target] = self._store.new_queue(letter.target, {})
        ttl, expires = letter.ttl, letter.expires
        longest = heeded(queue.metadata, DEFAULT_MESSAGE_TTL)
        if longest and expires > now + longest:
            ttl, expires = longest, now + longest
        moved = StoredMessage(
            sequence=self._store.next_id(),
            record=records.encode(letter.body, sys.maxsize),
            created=letter.message.created,
            ttl=ttl,
            expires=expires,
            priority=letter.message.priority,
            client=letter.message.client,
            dead_letter=letter.header,
        )
        queue.backlog.add(moved, now)

    def forward(self, letter: Letter) -> bool:
        """Hand a letter to another store; return whether it is there now."""
        forward = self._driver.forward_dead_letter
        if forward is None:
            return False
        try:
            return forward(*letter.target, _posted(letter))
        except KombuPoolError:
            # The queue it should go to is out of reach: that must not keep this queue's messages from being lent.
            return False


def _letter(
    scope: Scope, queue: StoredQueue, message: StoredMessage, now: float, target: str, reason: str, body: Any
) -> Letter:
    header: DeadLetter = {"queue": scope[1], "reason": reason, "time": now, "count": message.claim_count}
    ttl = heeded(queue.metadata, DEAD_LETTER_TTL)
    expires = now + ttl if ttl else message.expires
    return Letter((scope[0], target), message, body, header, ttl or message.ttl, expires)


def _posted(letter: Letter) -> NewMessage:
    return {
        "ttl": None if letter.expires == NEVER else letter.expires - letter.header["time"],
        "body": letter.body,
        "delay": 0,
        "priority": letter.message.priority,
        "dead_letter": letter.header,
    }
