"""The messages of one queue and the states that they go through: delayed, free, claimed, expired; or dead.

``settle`` brings every message into the state that the time gives it; all else here trusts that it was called. Nothing
looks at more messages than it changes, however long the queue is, but for the heaps' logarithm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, TypeAlias

from kombu_pool.storage.dead_letters import DeadLetterReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kombu_pool.model import DeadLetter

NEVER = math.inf
Order: TypeAlias = "tuple[int, int]"

_DELAY, _EXPIRY, _CLAIM = range(3)
_SLACK = 64


@dataclass(slots=True, eq=False)
class StoredMessage:
    """A message; ``record`` is its encoded body."""

    sequence: int
    record: bytes
    created: float
    ttl: float
    expires: float
    priority: int = 0
    due: float = 0.0
    client: str | None = None
    dead_letter: DeadLetter | None = None
    claim_id: str | None = None
    claim_count: int = 0
    id: str = field(init=False)
    order: Order = field(init=False)

    def __post_init__(self) -> None:
        self.id = str(self.sequence)
        self.order = (-self.priority, self.sequence)


@dataclass(slots=True, eq=False)
class StoredClaim:
    """A claim and the messages that it holds, by id; ``since`` is its creation or last renewal."""

    id: str
    ttl: float
    since: float
    held: dict[str, StoredMessage] = field(default_factory=dict)

    @property
    def ends(self) -> float:
        """When it ends unless it is renewed."""
        return self.since + self.ttl


@dataclass(slots=True, eq=False)
class Dead:
    """A message that waits to be buried, and why; somebody is at it until then."""

    message: StoredMessage
    reason: str
    parked_until: float = 0.0


class Backlog:
    """The messages of one queue; ``on_free`` is called whenever one of them becomes free, or dead by itself."""

    def __init__(self, on_free: Callable[[], None]) -> None:
        self.messages: dict[str, StoredMessage] = {}
        self.claims: dict[str, StoredClaim] = {}
        self.dead: dict[str, Dead] = {}
        self._on_free = on_free
        self._free: set[str] = set()
        self._delayed: set[str] = set()
        # Each free message is in here once; what is not free any more is passed over when its turn comes.
        self._line: list[tuple[Order, str]] = []
        # Every deadline that was ever set; one that moved or lost its subject is passed over when its time comes.
        self._deadlines: list[tuple[float, int, str]] = []

    def settle(self, now: float, *, expires_to_dlq: bool = False) -> int:
        """Bring every message and claim into the state that it has ``now``; return how many went."""
        gone = 0
        while self._deadlines and self._deadlines[0][0] <= now:
            _, kind, key = heappop(self._deadlines)
            if kind == _DELAY:
                self._end_delay(key)
            elif kind == _EXPIRY:
                gone += self._expire(key, now, dies=expires_to_dlq)
            else:
                gone += self._end_overdue(key, now)
        return gone

    def next_deadline(self) -> float:
        """Return the earliest time at which :meth:`settle` may have something to do."""
        return self._deadlines[0][0] if self._deadlines else NEVER

    def add(self, message: StoredMessage, now: float) -> None:
        """Take a message in, delayed or free."""
        self.messages[message.id] = message
        if message.expires != NEVER:
            heappush(self._deadlines, (message.expires, _EXPIRY, message.id))
        if message.due > now:
            self._delayed.add(message.id)
            heappush(self._deadlines, (message.due, _DELAY, message.id))
        else:
            self.free(message)

    def remove(self, message: StoredMessage) -> None:
        """Forget a message, whatever its state. A claim whose last message it was ends with it."""
        self._let_go(message)
        del self.messages[message.id]
        self._free.discard(message.id)
        self._delayed.discard(message.id)
        self._compact()

    def die(self, message: StoredMessage, reason: str) -> None:
        """Let a message be dead: it is out of the queue, and waits to be buried."""
        self.remove(message)
        self.dead[message.id] = Dead(message, reason)

    def take(self) -> StoredMessage | None:
        """Take the first free message out of the line; the caller lends it, removes it or frees it again."""
        while self._line:
            _, message_id = heappop(self._line)
            if message_id in self._free:
                self._free.discard(message_id)
                return self.messages[message_id]
        return None

    def withdraw(self, message: StoredMessage) -> None:
        """Take a free message out of the line, wherever it stands; the caller lends it."""
        self._free.discard(message.id)

    def free(self, message: StoredMessage) -> None:
        """Put a message that is in no state into the line, where it stood."""
        self._free.add(message.id)
        heappush(self._line, (message.order, message.id))
        self._on_free()

    def lend(self, message: StoredMessage, claim: StoredClaim) -> None:
        """Let the claim hold a message that was taken out of the line."""
        if claim.id not in self.claims:
            self.claims[claim.id] = claim
            heappush(self._deadlines, (claim.ends, _CLAIM, claim.id))
        claim.held[message.id] = message
        message.claim_id = claim.id

    def prolong(self, message: StoredMessage, claim: StoredClaim, grace: float) -> None:
        """Let a message that would expire before its claim live until the claim's end plus ``grace``."""
        if message.expires < claim.ends:
            message.expires = claim.ends + grace
            message.ttl = claim.ttl + grace
            heappush(self._deadlines, (message.expires, _EXPIRY, message.id))

    def renew(self, claim: StoredClaim, ttl: float, grace: float, now: float) -> None:
        """Let a live claim live ``ttl`` seconds from now."""
        claim.ttl, claim.since = ttl, now
        heappush(self._deadlines, (claim.ends, _CLAIM, claim.id))
        for message in claim.held.values():
            self.prolong(message, claim, grace)
        self._compact()

    def release(self, message: StoredMessage) -> None:
        """Free a claimed message where it stood, as if the claim had never held it but for the count."""
        self._let_go(message)
        message.claim_id = None
        self.free(message)

    def holder(self, message: StoredMessage) -> StoredClaim | None:
        """Return the live claim that holds a message, None when it is not claimed."""
        return None if message.claim_id is None else self.claims.get(message.claim_id)

    def is_delayed(self, message: StoredMessage) -> bool:
        """Tell whether its delay is not over."""
        return message.id in self._delayed

    def free_messages(self) -> list[StoredMessage]:
        """Return the free messages, in no order."""
        return [self.messages[message_id] for message_id in self._free]

    def free_of(self, message_ids: Iterable[str]) -> list[StoredMessage]:
        """Return those of the messages that are free, in order."""
        free = [self.messages[message_id] for message_id in self._free.intersection(message_ids)]
        return sorted(free, key=lambda message: message.order)

    def count_free(self) -> int:
        """Count the free messages."""
        return len(self._free)

    def count_claimed(self) -> int:
        """Count the claimed messages."""
        return len(self.messages) - len(self._free) - len(self._delayed)

    def _let_go(self, message: StoredMessage) -> None:
        claim = self.holder(message)
        if claim is not None:
            del claim.held[message.id]
            if not claim.held:
                del self.claims[claim.id]

    def _end_delay(self, message_id: str) -> None:
        if message_id in self._delayed:
            self._delayed.discard(message_id)
            self.free(self.messages[message_id])

    def _expire(self, message_id: str, now: float, *, dies: bool) -> bool:
        message = self.messages.get(message_id)
        if message is None or message.expires > now:
            return False
        if dies:
            holder = self.holder(message)
            if holder is not None:
                # Somebody is about to bury it for another reason.
                heappush(self._deadlines, (holder.ends, _EXPIRY, message_id))
                return False
            self.die(message, DeadLetterReason.EXPIRED)
            self._on_free()
        else:
            self.remove(message)
        return True

    def _end_overdue(self, claim_id: str, now: float) -> bool:
        claim = self.claims.get(claim_id)
        if claim is None or claim.ends > now:
            return False
        del self.claims[claim_id]
        for message in claim.held.values():
            self.free(message)
        return True

    def _compact(self) -> None:
        """Drop what is passed over, once it is more than what is not: long deadlines of short lives pile up."""
        if len(self._line) > 2 * len(self._free) + _SLACK:
            self._line = [(self.messages[message_id].order, message_id) for message_id in self._free]
            heapify(self._line)
        if len(self._deadlines) > 2 * (2 * len(self.messages) + len(self.claims)) + _SLACK:
            self._deadlines = self._true_deadlines()
            heapify(self._deadlines)

    def _true_deadlines(self) -> list[tuple[float, int, str]]:
        return [
            *((self.messages[message_id].due, _DELAY, message_id) for message_id in self._delayed),
            *((m.expires, _EXPIRY, m.id) for m in self.messages.values() if m.expires != NEVER),
            *((claim.ends, _CLAIM, claim.id) for claim in self.claims.values()),
        ]
