"""Dead letters in every store: their composition, their outcome, and the loop that moves them.

A driver extends :class:`DeadLetterMover` by four verbs: take, move, remove, and retry later. Each is one step of its
store.
"""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from kombu_pool.codec import decode
from kombu_pool.drivers.records import age_of, is_finite
from kombu_pool.errors import CorruptRecord, KombuPoolError
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import DeadLetterOutcome, DeadLetterReason
from kombu_pool.storage.policy import write

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from kombu_pool.model import DeadLetter as Header
    from kombu_pool.model import NewMessage, Project
    from kombu_pool.storage import DeadLetterHooks
    from kombu_pool.storage.policy import Policy

logger = logging.getLogger(__name__)

NEVER = math.inf
#: Bound of the queues whose back-off a process remembers.
_MAX_BACKED_OFF = 1000

Place = TypeVar("Place", bound="Hashable")


class Candidate(NamedTuple):
    """A message to dead-letter, by the ``id`` of its store; ``error`` is set if its record is known to be broken."""

    id: Any
    record: bytes
    reason: str
    claim_count: int
    priority: int
    created: float
    client: str | None
    ttl: float
    expires: float
    error: CorruptRecord | None = None
    key: str | None = None

    def with_finite_times(self, now: float) -> Candidate:
        """Return the message without times of its record that are no finite numbers."""
        return self._replace(
            created=self.created if is_finite(self.created) else now,
            ttl=self.ttl if is_finite(self.ttl) else 0,
            expires=self.expires if is_finite(self.expires) else NEVER,
        )


@dataclass
class DeadLetter:
    """A message as it is stored in the queue ``target`` (None: published to an exchange); ``ttl`` 0 never expires."""

    message: Candidate
    target: str | None
    record: bytes
    header: Header
    ttl: float
    expires: float

    @property
    def is_unreadable(self) -> bool:
        """Whether the record of the message cannot be decoded."""
        return self.header["reason"] == DeadLetterReason.UNREADABLE

    def lifetime(self, longest: float) -> tuple[float, float]:
        """Return the ttl and the expiry in a queue whose messages have a longest ttl, or 0."""
        end = self.header["time"] + longest
        return (longest, end) if longest and self.expires > end else (self.ttl, self.expires)

    def to_new_message(self) -> NewMessage:
        """Return the message that another store or an exchange receives."""
        return {
            "ttl": None if self.expires == NEVER else self.expires - self.header["time"],
            "body": decode(self.record),
            "delay": 0,
            "priority": self.message.priority,
            "key": self.message.key,
            "dead_letter": self.header,
        }


@dataclass(frozen=True)
class Source(Generic[Place]):
    """A queue that dead letters leave, and the time; ``reservation`` is what its store knows their reservation by."""

    place: Place
    project: Project
    name: str
    policy: Policy
    now: float
    reservation: Any = None

    def compose(self, message: Candidate) -> DeadLetter:
        """Return the dead letter of a message; one that cannot be decoded is unreadable, whatever its reason."""
        target, record, reason = self.policy.dead_letter_queue, message.record, message.reason
        error = message.error or _decoding_error(message, self.now)
        if error is not None:
            target, reason = target or UNREADABLE_QUEUE, DeadLetterReason.UNREADABLE
            record = write({"record": record, "error": str(error)})
        header: Header = {"queue": self.name, "reason": reason, "time": self.now, "count": message.claim_count}
        message = message.with_finite_times(self.now)
        ttl, expires = message.ttl, message.expires
        if self.policy.dead_letter_ttl:
            ttl, expires = self.policy.dead_letter_ttl, self.now + self.policy.dead_letter_ttl
        elif expires <= self.now:
            ttl, expires = 0, NEVER
        return DeadLetter(message, target, record, header, ttl, expires)


def _decoding_error(message: Candidate, now: float) -> CorruptRecord | None:
    try:
        decode(message.record)
        age_of(message.created, message.ttl, now)
    except CorruptRecord as error:
        return error
    return None


@dataclass
class Taken(Generic[Place]):
    """The first dead messages of a queue: the number that moved within the store, and the reserved dead letters."""

    source: Source[Place]
    moved: int = 0
    letters: list[DeadLetter] = field(default_factory=list)
    #: Those that a queue of this store refused for now.
    refused: list[DeadLetter] = field(default_factory=list)
    #: Whether the queue may have more dead messages to take.
    is_more: bool = False


class DeadLetterMover(ABC, Generic[Place]):
    """Moves dead messages to their targets."""

    #: Whether an unreachable target keeps those behind it waiting.
    is_ordered = False
    #: Dead letters of a queue after which another operation leaves the rest to later ones.
    inline_limit = NEVER
    #: Seconds for which other operations leave a queue alone after a failure in this process.
    retry_after = 0.0

    def __init__(self, hooks: DeadLetterHooks) -> None:
        self._hooks = hooks
        self._retry_at: dict[Place, float] = {}

    @abstractmethod
    def take(self, place: Place) -> Taken[Place] | None:
        """Take the first dead messages of a queue, in the order of their deaths.

        Those whose target is in this store move there, in one step. The others are reserved for ``RESERVATION_TTL``.
        None: the queue has no dead messages, or another process has reserved the first.
        """

    @abstractmethod
    def move(self, source: Source[Place], letter: DeadLetter) -> None:
        """Move a reserved dead letter to its target, a queue of this store that is created if it is absent."""

    @abstractmethod
    def remove(self, source: Source[Place], letter: DeadLetter) -> None:
        """Remove the message of a reserved dead letter, which is stored elsewhere or has no target."""

    @abstractmethod
    def retry_later(self, source: Source[Place], letters: Sequence[DeadLetter]) -> None:
        """End the reservation of dead letters; a message at its delivery limit is free again."""

    def is_sealed(self, source: Source[Place], name: str) -> bool:
        """Return whether this store has a queue of that name which is sealed; never in one that moves no queues."""
        return False

    def forward(self, source: Source[Place], letter: DeadLetter) -> DeadLetterOutcome:
        """Hand a dead letter to a hook, outside any lock or transaction: the other store may be waiting for them.

        An unreadable one that has no other target is handed over for :data:`UNREADABLE_QUEUE`: that may be in any
        store. An unroutable one is not deleted, or stored here, while its target is sealed here.
        """
        outcome = self._hand_over(source, letter)
        if outcome is DeadLetterOutcome.UNROUTABLE and letter.is_unreadable and letter.target != UNREADABLE_QUEUE:
            letter.target = UNREADABLE_QUEUE
            outcome = self._hand_over(source, letter)
        is_unroutable = outcome is DeadLetterOutcome.UNROUTABLE and letter.target is not None
        if is_unroutable and self.is_sealed(source, letter.target or ""):
            return DeadLetterOutcome.UNREACHABLE
        return outcome

    def _hand_over(self, source: Source[Place], letter: DeadLetter) -> DeadLetterOutcome:
        hooks, message, exchange = self._hooks, letter.to_new_message(), source.policy.dead_letter_exchange
        try:
            if letter.target is not None:
                stored = hooks.forward is not None and hooks.forward(source.project, letter.target, message)
            elif exchange is None:
                return DeadLetterOutcome.UNROUTABLE  # The queue names no target any more.
            elif hooks.publish is None:
                return DeadLetterOutcome.UNREACHABLE
            else:
                stored = hooks.publish(source.project, exchange, source.policy.dead_letter_routing_key, message)
        except KombuPoolError as error:
            # Not raised: the messages behind it in its queue must not wait for an unreachable target.
            logger.warning("A dead letter stays in its queue until its target is reachable: %s", error)
            return DeadLetterOutcome.UNREACHABLE
        return DeadLetterOutcome.STORED if stored else DeadLetterOutcome.UNROUTABLE

    def dead_letter_some(self, place: Place) -> None:
        """Dead-letter dead messages after another operation, which must not fail for it, unless that just failed."""
        if not self.is_backing_off(place):
            self.try_dead_letter(place, self.inline_limit)

    def try_dead_letter(self, place: Place, limit: float) -> int:
        """Dead-letter as :meth:`dead_letter` does; an error is logged, and other operations leave the queue alone."""
        try:
            return self.dead_letter(place, limit)
        except KombuPoolError as error:
            logger.warning("Dead messages of queue %s stay in it until the next attempt: %s", place, error)
            self._back_off(place)
            return 0

    def dead_letter(self, place: Place, limit: float = NEVER) -> int:
        """Dead-letter the dead messages of a queue, up to those taken when ``limit`` is reached; return how many."""
        self._retry_at.pop(place, None)
        total = 0
        failed: list[DeadLetter] = []
        while total < limit and (taken := self.take(place)) is not None:
            source = taken.source
            left = [*taken.refused, *self._deliver(source, taken.letters)]
            gone = taken.moved + len(taken.letters) + len(taken.refused) - len(left)
            total += gone
            failed += left
            # A batch of which all failed stands for the rest.
            if not taken.is_more or (left and (self.is_ordered or not gone)):
                break
        if failed:
            # Only now: the loop would take them again.
            self.retry_later(source, failed)
            self._back_off(place)
        return total

    def is_backing_off(self, place: Place) -> bool:
        """Return whether the queue's dead letters just failed."""
        return self._retry_at.get(place, 0.0) > time.monotonic()

    def _back_off(self, place: Place) -> None:
        if self.retry_after:
            if len(self._retry_at) >= _MAX_BACKED_OFF:
                self._retry_at.clear()
            self._retry_at[place] = time.monotonic() + self.retry_after

    def _deliver(self, source: Source[Place], letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Hand reserved dead letters to the hooks; return those that stay."""
        left = []
        for index, letter in enumerate(letters):
            if not self._deliver_one(source, letter):
                if self.is_ordered:
                    return [*letters[index:]]
                left.append(letter)
        return left

    def _deliver_one(self, source: Source[Place], letter: DeadLetter) -> bool:
        """Hand a dead letter to a hook and apply the outcome; return whether its message is no longer dead."""
        outcome = self.forward(source, letter)
        if outcome is DeadLetterOutcome.UNREACHABLE:
            return False
        if outcome is DeadLetterOutcome.UNROUTABLE and letter.is_unreadable:
            letter.target = UNREADABLE_QUEUE
            self.move(source, letter)
        elif outcome is DeadLetterOutcome.UNROUTABLE and letter.message.reason == DeadLetterReason.DELIVERY_LIMIT:
            self.retry_later(source, [letter])
        else:
            self.remove(source, letter)
        return True
