"""The way back of dead letters: out of the queue that took them, into those that they came from."""

from __future__ import annotations

import logging
import os
from itertools import count, islice
from typing import TYPE_CHECKING, NamedTuple

from kombu_pool.errors import (
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    InvalidMessage,
    KombuPoolError,
    QueueDoesNotExist,
    QueueIsFull,
)
from kombu_pool.model import IdempotencyKey, RedriveResult
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterReason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from kombu_pool.model import ClaimMetadata, Message, NewMessage, Project
    from kombu_pool.storage.driver import DataDriver

logger = logging.getLogger(__name__)

#: Letters that are claimed, stored and removed together.
BATCH_SIZE = 100
_HOLD: ClaimMetadata = {"ttl": RESERVATION_TTL, "grace": 0}
_POSTER_BYTES = 12


class DeadLetterFilter(NamedTuple):
    """Which letters; None of anything is all."""

    reasons: Collection[str] | None = None
    origins: Collection[str] | None = None
    message_ids: Collection[str] | None = None

    def matches(self, message: Message) -> bool:
        """Tell whether a message is a letter that can be given back, and chosen."""
        letter = message.get("dead_letter")
        return (
            letter is not None
            and letter["reason"] != DeadLetterReason.UNREADABLE
            and (self.reasons is None or letter["reason"] in self.reasons)
            and (self.origins is None or letter["queue"] in self.origins)
        )


class DeadLetterScan:
    """The chosen letters of a queue, step by step; ``seen`` of ``total`` messages were looked at."""

    def __init__(self, driver: DataDriver, queue: str, project: Project, dead_letter_filter: DeadLetterFilter) -> None:
        self._messages = driver.message_controller
        self._queue = queue
        self._project = project
        self._choice = dead_letter_filter
        self.seen = 0
        ids = dead_letter_filter.message_ids
        # Not more than there are now: what goes back may come again.
        self.total = self._messages.count(queue, project) if ids is None else len(set(ids))

    def __iter__(self) -> Iterator[list[Message]]:
        pages = self._all() if self._choice.message_ids is None else self._named(self._choice.message_ids)
        for page in pages:
            yield [message for message in page if self._choice.matches(message)]

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

    def _named(self, message_ids: Collection[str]) -> Iterator[Sequence[Message]]:
        ids = iter(dict.fromkeys(message_ids))
        while some := list(islice(ids, BATCH_SIZE)):
            self.seen += len(some)
            yield self._messages.bulk_get(self._queue, some, self._project)


class Redrive:
    """One call of :meth:`DataDriver.redrive`."""

    def __init__(
        self,
        driver: DataDriver,
        queue: str,
        project: Project,
        target: str | None,
        dead_letter_filter: DeadLetterFilter,
        limit: int,
    ) -> None:
        self._driver = driver
        self._queue = queue
        self._project = project
        self._target = target
        self._choice = dead_letter_filter
        self._limit = limit
        self._moved = 0
        self._done = RedriveResult()
        #: The queues that were asked for, and whether they take letters.
        self._open: dict[str, bool] = {}
        self._poster = os.urandom(_POSTER_BYTES)
        self._numbers = count(1)

    def run(self, progress: Callable[[RedriveResult], bool | None] | None) -> RedriveResult:
        """Give the letters back."""
        self._require(self._queue)
        if self._target is not None:
            self._require(self._target)
        done, letters = self._done, DeadLetterScan(self._driver, self._queue, self._project, self._choice)
        done.total = letters.total
        for step in letters:
            for target, some in self._addressed(step).items():
                self._move(target, some)
            done.seen = letters.seen
            is_enough = progress is not None and progress(done)
            if is_enough or (self._limit and self._moved >= self._limit):
                break
        return done

    def _require(self, queue: str) -> None:
        if not self._driver.queue_controller.exists(queue, self._project):
            raise QueueDoesNotExist(queue, self._project)

    def _addressed(self, letters: Sequence[Message]) -> dict[str, list[Message]]:
        """Return up to as many letters as are still wanted by the queues that take them; count the others."""
        addressed: dict[str, list[Message]] = {}
        room = self._limit - self._moved if self._limit else len(letters)
        for letter in letters:
            if not room:
                break
            target = letter["dead_letter"]["queue"] if self._target is None else self._target
            if self._takes(target):
                addressed.setdefault(target, []).append(letter)
                room -= 1
            else:
                _count(self._done.remaining, target, 1)
        return addressed

    def _takes(self, target: str) -> bool:
        if target not in self._open:
            self._open[target] = self._driver.queue_controller.exists(target, self._project)
            if not self._open[target]:
                self._done.refusals[target] = QueueDoesNotExist(target, self._project)
        return self._open[target]

    def _move(self, target: str, letters: Sequence[Message]) -> None:
        ids = [letter["id"] for letter in letters]
        claim, held = self._driver.claim_controller.claim_by_id(self._queue, ids, _HOLD, self._project)
        if claim is None:
            return
        stored = {letter["id"] for letter in self._store(target, held)}
        refused = [letter["id"] for letter in held if letter["id"] not in stored]
        if refused:
            self._driver.claim_controller.release(self._queue, claim, refused, self._project)
        self._remove(claim, [letter["id"] for letter in held if letter["id"] in stored])
        self._moved += len(stored)
        _count(self._done.moved, target, len(stored))
        _count(self._done.remaining, target, len(refused))

    def _store(self, target: str, letters: Sequence[Message]) -> Sequence[Message]:
        """Post letters to a queue: together or, where it refuses them so, one by one; return what it took."""
        if not self._open[target]:
            return []
        given = [self._given_back(target, letter) for letter in letters]
        try:
            self._post(target, given)
        except KombuPoolError as error:
            if len(letters) > 1 and isinstance(error, InvalidMessage | QueueIsFull):
                return [letter for letter in letters if self._store(target, [letter])]
            self._open[target] = isinstance(error, InvalidMessage)
            self._done.refusals[target] = error
            return []
        return letters

    def _post(self, target: str, messages: Sequence[NewMessage]) -> None:
        """Post messages; once more, as the same post, if nobody knows whether they were stored."""
        post, idempotency_key = self._driver.message_controller.post, IdempotencyKey(self._poster, next(self._numbers))
        try:
            post(target, messages, None, self._project, idempotency_key=idempotency_key)
        except ConnectionError:
            post(target, messages, None, self._project, idempotency_key=idempotency_key)

    def _given_back(self, target: str, letter: Message) -> NewMessage:
        restore_address, body = self._driver.dead_letter_hooks.restore_address, letter["body"]
        return {
            "ttl": None,
            "body": body if restore_address is None else restore_address(target, body),
            "delay": 0,
            "priority": letter.get("priority", 0),
        }

    def _remove(self, claim: str, message_ids: Sequence[str]) -> None:
        held = [(message_id, claim) for message_id in message_ids]
        kept = self._driver.message_controller.delete_claimed(self._queue, held, self._project) if held else ()
        if kept:
            self._done.duplicated += len(kept)
            logger.warning("%d dead letters were given back too slowly, and are in %r still", len(kept), self._queue)


def _count(counts: dict[str, int], queue: str, more: int) -> None:
    if more:
        counts[queue] = counts.get(queue, 0) + more
