"""The redrive: moving dead letters out of their queue, into the queues that they came from."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool.errors import (
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    InvalidMessage,
    KombuPoolError,
    QueueDoesNotExist,
    QueueIsFull,
)
from kombu_pool.model import RedriveResult
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterReason
from kombu_pool.storage.idempotency import ProducerSequence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from kombu_pool.model import ClaimMetadata, Message, NewMessage, Project
    from kombu_pool.storage.data import ClaimController, MessageController
    from kombu_pool.storage.queues import QueueController

logger = logging.getLogger(__name__)

#: Dead letters that are claimed, stored and deleted together; after a crash as many may be in both queues.
BATCH_SIZE = 100
_CLAIM: ClaimMetadata = {"ttl": RESERVATION_TTL, "grace": 0}


class DeadLetterFilter(NamedTuple):
    """A selection of dead letters; None in a field selects all."""

    reasons: Collection[str] | None = None
    origins: Collection[str] | None = None
    message_ids: Collection[str] | None = None

    def matches(self, message: Message) -> bool:
        """Return whether the message is a dead letter that can be redriven, with a selected reason and origin."""
        header = message.get("dead_letter")
        return (
            header is not None
            and header["reason"] != DeadLetterReason.UNREADABLE
            and (self.reasons is None or header["reason"] in self.reasons)
            and (self.origins is None or header["queue"] in self.origins)
        )


class DeadLetterScan:
    """The selected dead letters of a queue, in batches; ``seen`` of ``total`` messages have been examined."""

    def __init__(
        self, messages: MessageController, queue: str, project: Project, dead_letter_filter: DeadLetterFilter
    ) -> None:
        self._messages = messages
        self._queue = queue
        self._project = project
        self._filter = dead_letter_filter
        self.seen = 0
        ids = dead_letter_filter.message_ids
        # Bounded by the present count: a redriven message may come back as a dead letter at once.
        self.total = self._messages.count(queue, project) if ids is None else len(set(ids))

    def __iter__(self) -> Iterator[list[Message]]:
        pages = self._all() if self._filter.message_ids is None else self._by_id(self._filter.message_ids)
        for page in pages:
            yield [message for message in page if self._filter.matches(message)]

    def _all(self) -> Iterator[Sequence[Message]]:
        marker = None
        while self.seen < self.total:
            limit = min(BATCH_SIZE, self.total - self.seen)
            listing = self._messages.list(self._queue, self._project, marker, limit, echo=True)
            page, marker = list(next(listing)), next(listing)
            if not page:
                return
            self.seen += len(page)
            yield page

    def _by_id(self, message_ids: Collection[str]) -> Iterator[Sequence[Message]]:
        ids = iter(dict.fromkeys(message_ids))
        while batch := list(islice(ids, BATCH_SIZE)):
            self.seen += len(batch)
            yield list(self._messages.bulk_get(self._queue, batch, self._project))


def claims_by_id(
    claims: ClaimController, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project
) -> Iterator[tuple[str, Sequence[Message]]]:
    """Claim those of the messages that are free, and yield each claim with its messages.

    There are several claims while the queue moves: one has only messages of one pool.
    """
    ids = [*message_ids]
    while ids:
        claim, claimed = claims.claim_by_id(queue, ids, metadata, project)
        if claim is None:
            return
        yield claim, claimed
        held = {message["id"] for message in claimed}
        ids = [message_id for message_id in ids if message_id not in held]


@dataclass
class Redrive:
    """One call of :meth:`DataDriver.redrive`."""

    queues: QueueController
    messages: MessageController
    claims: ClaimController
    restore_address: Callable[[str, Any], Any] | None
    queue: str
    project: Project
    target: str | None
    filter: DeadLetterFilter
    limit: int
    result: RedriveResult = field(default_factory=RedriveResult)
    _moved: int = 0
    #: The targets so far, each with whether it accepts dead letters.
    _accepting: dict[str, bool] = field(default_factory=dict)
    _sequence: ProducerSequence = field(default_factory=ProducerSequence)

    def run(self, progress: Callable[[RedriveResult], bool | None] | None) -> RedriveResult:
        """Move the selected dead letters batch by batch, until ``progress`` returns True."""
        self._require(self.queue)
        if self.target is not None:
            self._require(self.target)
        result, scan = self.result, DeadLetterScan(self.messages, self.queue, self.project, self.filter)
        result.total = scan.total
        for batch in scan:
            for target, dead_letters in self._by_target(batch).items():
                self._move(target, dead_letters)
            result.seen = scan.seen
            is_stopped = progress is not None and progress(result)
            if is_stopped or (self.limit and self._moved >= self.limit):
                break
        return result

    def _require(self, queue: str) -> None:
        if not self.queues.exists(queue, self.project):
            raise QueueDoesNotExist(queue, self.project)

    def _by_target(self, dead_letters: Sequence[Message]) -> dict[str, list[Message]]:
        """Return dead letters by accepting target, up to the limit; count those of other targets as remaining."""
        by_target: dict[str, list[Message]] = {}
        room = self.limit - self._moved if self.limit else len(dead_letters)
        for dead_letter in dead_letters:
            if not room:
                break
            target = dead_letter["dead_letter"]["queue"] if self.target is None else self.target
            if self._is_accepting(target):
                by_target.setdefault(target, []).append(dead_letter)
                room -= 1
            else:
                _count(self.result.remaining, target, 1)
        return by_target

    def _is_accepting(self, target: str) -> bool:
        if target not in self._accepting:
            self._accepting[target] = self.queues.exists(target, self.project)
            if not self._accepting[target]:
                self.result.refusals[target] = QueueDoesNotExist(target, self.project)
        return self._accepting[target]

    def _move(self, target: str, dead_letters: Sequence[Message]) -> None:
        ids = [dead_letter["id"] for dead_letter in dead_letters]
        for claim, claimed in claims_by_id(self.claims, self.queue, ids, _CLAIM, self.project):
            self._move_claimed(target, claim, claimed)

    def _move_claimed(self, target: str, claim: str, claimed: Sequence[Message]) -> None:
        stored = {dead_letter["id"] for dead_letter in self._store(target, claimed)}
        refused = [dead_letter["id"] for dead_letter in claimed if dead_letter["id"] not in stored]
        if refused:
            self.claims.release(self.queue, claim, refused, self.project)
        self._delete(claim, [dead_letter["id"] for dead_letter in claimed if dead_letter["id"] in stored])
        self._moved += len(stored)
        _count(self.result.moved, target, len(stored))
        _count(self.result.remaining, target, len(refused))

    def _store(self, target: str, dead_letters: Sequence[Message]) -> Sequence[Message]:
        """Post dead letters together or, if they are refused together, one by one; return the stored ones."""
        if not self._accepting[target]:
            return []
        messages = [self._new_message(target, dead_letter) for dead_letter in dead_letters]
        try:
            self._post(target, messages)
        except KombuPoolError as error:
            if len(dead_letters) > 1 and isinstance(error, InvalidMessage | QueueIsFull):
                return [dead_letter for dead_letter in dead_letters if self._store(target, [dead_letter])]
            self._accepting[target] = isinstance(error, InvalidMessage)
            self.result.refusals[target] = error
            return []
        return dead_letters

    def _post(self, target: str, messages: Sequence[NewMessage]) -> None:
        """Post messages; retry once under the same idempotency key if the result is unknown."""
        post, idempotency_key = self.messages.post, self._sequence.next_key()
        try:
            post(target, messages, None, self.project, idempotency_key=idempotency_key)
        except ConnectionError:
            post(target, messages, None, self.project, idempotency_key=idempotency_key)

    def _new_message(self, target: str, dead_letter: Message) -> NewMessage:
        restore_address, body = self.restore_address, dead_letter["body"]
        return {
            "ttl": None,
            "body": body if restore_address is None else restore_address(target, body),
            "delay": 0,
            "priority": dead_letter.get("priority", 0),
            "key": dead_letter.get("key"),
        }

    def _delete(self, claim: str, message_ids: Sequence[str]) -> None:
        held = [(message_id, claim) for message_id in message_ids]
        refused = self.messages.delete_claimed(self.queue, held, self.project) if held else ()
        if refused:
            self.result.duplicated += len(refused)
            logger.warning("%d redriven dead letters are still in %r: their claim ended", len(refused), self.queue)


def _count(counts: dict[str, int], queue: str, more: int) -> None:
    if more:
        counts[queue] = counts.get(queue, 0) + more
