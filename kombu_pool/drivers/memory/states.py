"""The messages of one queue and their states: delayed, free, claimed, expired; or dead.

``advance`` brings every message into its state at a given time; all other methods rely on that call. No operation
examines more messages than it changes, however long the queue is, apart from the logarithm of the heaps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, TypeAlias

from kombu_pool.drivers.records import moved_expiry
from kombu_pool.storage.dead_letters import DeadLetterReason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from kombu_pool.model import DeadLetter

NEVER = math.inf
Order: TypeAlias = "tuple[int, int]"

_DELAY, _EXPIRY, _CLAIM = range(3)
#: Outdated heap entries that do not lead to a rebuild.
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
    key: str | None = None
    claim_id: str | None = None
    claim_count: int = 0
    id: str = field(init=False)
    order: Order = field(init=False)

    def __post_init__(self) -> None:
        self.id = str(self.sequence)
        self.set_priority(self.priority)

    def set_priority(self, priority: int) -> None:
        """Give the message a priority, and its place by it."""
        self.priority = priority
        self.order = (-priority, self.sequence)


@dataclass(slots=True, eq=False)
class StoredClaim:
    """A claim and the messages that it holds, by id; ``since`` is its creation or last renewal."""

    id: str
    ttl: float
    since: float
    holder: str | None = None
    held: dict[str, StoredMessage] = field(default_factory=dict)

    @property
    def ends(self) -> float:
        """The claim's end unless it is renewed."""
        return self.since + self.ttl


@dataclass(slots=True, eq=False)
class DeadMessage:
    """A dead message, with the reason; until ``reserved_until`` one process is moving it."""

    message: StoredMessage
    reason: str
    reserved_until: float = 0.0


class Backlog:
    """The messages of one queue; ``on_free`` is called when one of them becomes free, or dead through expiry."""

    def __init__(self, on_free: Callable[[], None]) -> None:
        self.messages: dict[str, StoredMessage] = {}
        self.claims: dict[str, StoredClaim] = {}
        self.dead: dict[str, DeadMessage] = {}
        self._on_free = on_free
        self._free: set[str] = set()
        self._delayed: set[str] = set()
        self._by_key: dict[str, dict[str, StoredMessage]] = {}
        # Holds each free message once; an entry of a message that is no longer free, or no longer has this place, is
        # skipped when it is popped.
        self._line: list[tuple[Order, str]] = []
        # Holds every deadline ever set; one that has moved or lost its subject is skipped when it is popped.
        self._deadlines: list[tuple[float, int, str]] = []

    def advance(self, now: float, *, expires_to_dlq: bool = False) -> int:
        """Bring every message and claim into its state at ``now``; return the number of those that ended."""
        ended = 0
        while self._deadlines and self._deadlines[0][0] <= now:
            _, kind, key = heappop(self._deadlines)
            if kind == _DELAY:
                self._end_delay(key, now)
            elif kind == _EXPIRY:
                ended += self._expire(key, now, to_dlq=expires_to_dlq)
            else:
                ended += self._end_claim(key, now)
        return ended

    def next_deadline(self) -> float:
        """Return the earliest time at which :meth:`advance` may change something."""
        return self._deadlines[0][0] if self._deadlines else NEVER

    def add(self, message: StoredMessage, now: float) -> None:
        """Store a message, delayed or free."""
        self.messages[message.id] = message
        if message.key is not None:
            self._by_key.setdefault(message.key, {})[message.id] = message
        self.enter_state(message, now)

    def enter_state(self, message: StoredMessage, now: float) -> None:
        """Make a message that is in no state delayed or free."""
        if message.expires != NEVER:
            heappush(self._deadlines, (message.expires, _EXPIRY, message.id))
        if message.due > now:
            self._delayed.add(message.id)
            heappush(self._deadlines, (message.due, _DELAY, message.id))
        else:
            self.free(message)

    def leave_state(self, message: StoredMessage) -> None:
        """Take a free or delayed message out of its state; it enters another one, or is removed."""
        self._free.discard(message.id)
        self._delayed.discard(message.id)

    def change(self, message: StoredMessage, due: float | None, priority: int | None, now: float) -> None:
        """Change the due time or the priority of a free or delayed message; None leaves it as it is."""
        before = message.due if self.is_delayed(message) else None
        after = before if due is None else due if due > now else None
        if message.expires != NEVER and after != before:
            message.expires = moved_expiry(message.expires, before, after, now)
            message.ttl = message.expires - message.created
        self.leave_state(message)
        message.due = 0.0 if after is None else after
        if priority is not None:
            message.set_priority(priority)
        self.enter_state(message, now)

    def of_key(self, key: str) -> list[StoredMessage]:
        """Return the messages with a key, in order."""
        return sorted(self._by_key.get(key, {}).values(), key=lambda message: message.order)

    def remove(self, message: StoredMessage) -> None:
        """Delete a message in any state. A claim ends with its last message."""
        self._drop_from_claim(message)
        del self.messages[message.id]
        if message.key is not None:
            of_key = self._by_key[message.key]
            del of_key[message.id]
            if not of_key:
                del self._by_key[message.key]
        self.leave_state(message)
        self._compact()

    def mark_dead(self, message: StoredMessage, reason: str) -> None:
        """Take a message out of the queue and keep it as dead until it is dead-lettered."""
        self.remove(message)
        self.dead[message.id] = DeadMessage(message, reason)

    def take_first(self) -> StoredMessage | None:
        """Take the first free message out of the line; the caller claims it, removes it or frees it again."""
        while self._line:
            order, message_id = heappop(self._line)
            if message_id in self._free and order == self.messages[message_id].order:
                self._free.discard(message_id)
                return self.messages[message_id]
        return None

    def take(self, message: StoredMessage) -> None:
        """Take a free message out of the line, wherever it stands; the caller claims it."""
        self._free.discard(message.id)

    def free(self, message: StoredMessage) -> None:
        """Put a message that is in no state into the line, at its place by order."""
        self._free.add(message.id)
        heappush(self._line, (message.order, message.id))
        self._on_free()

    def claim(self, message: StoredMessage, claim: StoredClaim) -> None:
        """Add a message that was taken out of the line to the claim."""
        if claim.id not in self.claims:
            self.claims[claim.id] = claim
            heappush(self._deadlines, (claim.ends, _CLAIM, claim.id))
        claim.held[message.id] = message
        message.claim_id = claim.id

    def extend_expiry(self, message: StoredMessage, claim: StoredClaim, grace: float) -> None:
        """Move the expiry of a message that would expire before its claim to the claim's end plus ``grace``."""
        if message.expires < claim.ends:
            message.expires = claim.ends + grace
            message.ttl = claim.ttl + grace
            heappush(self._deadlines, (message.expires, _EXPIRY, message.id))

    def renew(self, claim: StoredClaim, ttl: float, grace: float, now: float) -> None:
        """Set the end of a live claim to ``ttl`` seconds from now."""
        claim.ttl, claim.since = ttl, now
        heappush(self._deadlines, (claim.ends, _CLAIM, claim.id))
        for message in claim.held.values():
            self.extend_expiry(message, claim, grace)
        self._compact()

    def end_claims(self, holder: str, keep: Collection[str]) -> int:
        """End the claims of a holder, except those to ``keep``, as if their time were over.

        Returns the number of messages that become free.
        """
        ended = [claim for name, claim in self.claims.items() if claim.holder == holder and name not in keep]
        for claim in ended:
            self._free_claim(claim)
        return sum(len(claim.held) for claim in ended)

    def release(self, message: StoredMessage) -> None:
        """Free a claimed message at its old place; only its ``claim_count`` keeps a trace of the claim."""
        self._drop_from_claim(message)
        message.claim_id = None
        self.free(message)

    def claim_of(self, message: StoredMessage) -> StoredClaim | None:
        """Return the live claim that holds a message, None when it is not claimed."""
        return None if message.claim_id is None else self.claims.get(message.claim_id)

    def is_delayed(self, message: StoredMessage) -> bool:
        """Return whether the message's delay is not over."""
        return message.id in self._delayed

    def free_messages(self) -> list[StoredMessage]:
        """Return the free messages, in no order."""
        return [self.messages[message_id] for message_id in self._free]

    def free_among(self, message_ids: Iterable[str]) -> list[StoredMessage]:
        """Return those of the messages that are free, in order."""
        free = [self.messages[message_id] for message_id in self._free.intersection(message_ids)]
        return sorted(free, key=lambda message: message.order)

    def count_free(self) -> int:
        """Count the free messages."""
        return len(self._free)

    def count_claimed(self) -> int:
        """Count the claimed messages."""
        return len(self.messages) - len(self._free) - len(self._delayed)

    def _drop_from_claim(self, message: StoredMessage) -> None:
        claim = self.claim_of(message)
        if claim is not None:
            del claim.held[message.id]
            if not claim.held:
                del self.claims[claim.id]

    def _end_delay(self, message_id: str, now: float) -> None:
        message = self.messages.get(message_id)
        # A delay that was changed has another entry.
        if message is not None and message_id in self._delayed and message.due <= now:
            self._delayed.discard(message_id)
            self.free(message)

    def _expire(self, message_id: str, now: float, *, to_dlq: bool) -> bool:
        message = self.messages.get(message_id)
        if message is None or message.expires > now:
            return False
        if to_dlq:
            claim = self.claim_of(message)
            if claim is not None:
                # The claim's process is about to dead-letter it for another reason.
                heappush(self._deadlines, (claim.ends, _EXPIRY, message_id))
                return False
            self.mark_dead(message, DeadLetterReason.EXPIRED)
            self._on_free()
        else:
            self.remove(message)
        return True

    def _end_claim(self, claim_id: str, now: float) -> bool:
        claim = self.claims.get(claim_id)
        if claim is None or claim.ends > now:
            return False
        self._free_claim(claim)
        return True

    def _free_claim(self, claim: StoredClaim) -> None:
        del self.claims[claim.id]
        for message in claim.held.values():
            self.free(message)

    def _compact(self) -> None:
        """Rebuild a heap once outdated entries outnumber the others: long deadlines of short lives pile up."""
        if len(self._line) > 2 * len(self._free) + _SLACK:
            self._line = [(self.messages[message_id].order, message_id) for message_id in self._free]
            heapify(self._line)
        if len(self._deadlines) > 2 * (2 * len(self.messages) + len(self.claims)) + _SLACK:
            self._deadlines = self._current_deadlines()
            heapify(self._deadlines)

    def _current_deadlines(self) -> list[tuple[float, int, str]]:
        return [
            *((self.messages[message_id].due, _DELAY, message_id) for message_id in self._delayed),
            *((m.expires, _EXPIRY, m.id) for m in self.messages.values() if m.expires != NEVER),
            *((claim.ends, _CLAIM, claim.id) for claim in self.claims.values()),
        ]
