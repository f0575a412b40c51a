"""Messages: posting, reading, deleting."""

from __future__ import annotations

import re
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.memory.backlog import NEVER, StoredMessage
from kombu_pool.drivers.memory.lending import is_claim_id
from kombu_pool.drivers.memory.views import shown
from kombu_pool.errors import (
    ClaimDoesNotExist,
    ClaimDoesNotMatch,
    MessageDoesNotExist,
    MessageIsClaimed,
    MessageNotClaimed,
    MessageNotClaimedBy,
    QueueIsEmpty,
    QueueIsFull,
)
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import MessageController as Contract
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.validation import effective_delay, effective_ttl, validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.backlog import Backlog, Order
    from kombu_pool.drivers.memory.dead_letters import DeadLetters
    from kombu_pool.drivers.memory.lending import Lender
    from kombu_pool.drivers.memory.store import DataStore, StoredQueue
    from kombu_pool.model import IdempotencyKey, Message, NewMessage, Project
    from kombu_pool.storage.validation import ValidMessage

_MARKER = re.compile(r"([0-9]{1,3})\.([0-9]{1,20})")


class MessageController(Contract):
    """Messages in dictionaries."""

    def __init__(
        self, store: DataStore, clock: Clock, lender: Lender, dead_letters: DeadLetters, max_message_size: int
    ) -> None:
        self._store = store
        self._clock = clock
        self._lender = lender
        self._dead_letters = dead_letters
        self._limit = max_message_size

    def post(
        self,
        queue: str,
        messages: Iterable[NewMessage],
        client_uuid: object,
        project: Project = None,
        *,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Sequence[str]:
        incoming = [validate(message, self._limit) for message in messages]
        if not incoming:
            return []
        client = None if client_uuid is None else str(client_uuid)
        with self._store.lock:
            now = self._clock.time()
            found = self._store.require(project, queue, now)
            if idempotency_key is not None and (before := found.tickets.ids(idempotency_key)) is not None:
                return before
            if found.policy.is_bounded and found.policy.rejects_overflow and not _has_room(found, incoming):
                raise QueueIsFull(queue, project)
            posted = [self._add(found, message, client, now) for message in incoming]
            if idempotency_key is not None:
                found.tickets.add(idempotency_key, now, posted)
            makes_room = found.policy.is_bounded and not found.policy.rejects_overflow
            overflowed = _make_room(found) if makes_room else 0
        if overflowed:
            self._dead_letters.dead_letter((project, queue))
        return posted

    def _add(self, queue: StoredQueue, incoming: ValidMessage, client: str | None, now: float) -> str:
        ttl = effective_ttl(incoming, queue.metadata)
        message = StoredMessage(
            sequence=self._store.next_id(),
            record=incoming.record,
            created=now,
            ttl=ttl,
            expires=now + ttl if ttl else NEVER,
            priority=incoming.priority,
            due=now + effective_delay(incoming, queue.metadata),
            client=client,
            dead_letter=incoming.dead_letter,
        )
        queue.backlog.add(message, now)
        return message.id

    def list(
        self,
        queue: str,
        project: Project = None,
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        echo: bool = False,
        client_uuid: object = None,
        include_claimed: bool = False,
        include_delayed: bool = False,
    ) -> Iterator[Any]:
        after = _after(marker)
        hidden = None if echo or client_uuid is None else str(client_uuid)
        with self._store.lock:
            now = self._clock.time()
            backlog = self._backlog(queue, project, now)
            if backlog is None or (marker and after is None):
                return page([], str)
            listed = [
                message
                for message in backlog.messages.values()
                if (after is None or message.order > after)
                and (hidden is None or message.client != hidden)
                and (include_claimed or backlog.holder(message) is None)
                and (include_delayed or not backlog.is_delayed(message))
            ]
            first = nsmallest(limit or len(listed), listed, key=lambda message: message.order)
            messages = [shown(message, now) for message in first]
        return iter((messages, _marker(first[-1].order) if first else ""))

    def get(self, queue: str, message_id: str, project: Project = None) -> Message:
        with self._store.lock:
            now = self._clock.time()
            message = self._store.require(project, queue, now).backlog.messages.get(message_id)
            if message is None:
                raise MessageDoesNotExist(message_id, queue, project)
            return shown(message, now)

    def first(self, queue: str, project: Project = None, sort: int = 1) -> Message:
        if sort not in (1, -1):
            raise ValueError(f"sort is 1 or -1, not {sort!r}")
        with self._store.lock:
            now = self._clock.time()
            free = self._store.require(project, queue, now).backlog.free_messages()
            if not free:
                raise QueueIsEmpty(queue, project)
            choose = min if sort == 1 else max
            return shown(choose(free, key=lambda message: message.order), now)

    def bulk_get(self, queue: str, message_ids: Iterable[str], project: Project = None) -> Sequence[Message]:
        wanted = list(message_ids)
        with self._store.lock:
            now = self._clock.time()
            backlog = self._backlog(queue, project, now)
            there = _known(backlog, wanted) if backlog else []
            return [shown(message, now) for message in there]

    def delete(self, queue: str, message_id: str, project: Project = None, claim: str | None = None) -> None:
        with self._store.lock:
            backlog = self._backlog(queue, project, self._clock.time())
            if backlog is None:
                return
            if claim is not None and not is_claim_id(claim):
                raise ClaimDoesNotExist(claim, queue, project)
            message = backlog.messages.get(message_id)
            if message is None:
                return
            holder = backlog.holder(message)
            if holder is None and claim is not None:
                raise MessageNotClaimed(message_id)
            if holder is not None and holder.id != claim:
                raise _refusal(backlog, message_id, claim, queue, project)
            backlog.remove(message)

    def bulk_delete(
        self, queue: str, message_ids: Iterable[str], project: Project = None, claim_ids: Sequence[str] | None = None
    ) -> None:
        doomed = list(message_ids)
        with self._store.lock:
            backlog = self._backlog(queue, project, self._clock.time())
            if backlog is None:
                return
            there = _known(backlog, doomed)
            for message in there if claim_ids is not None else ():
                holder = backlog.holder(message)
                if holder is None:
                    raise MessageNotClaimed(message.id)
                if holder.id not in (claim_ids or ()):
                    raise ClaimDoesNotMatch(holder.id, queue, project)
            for message in there:
                backlog.remove(message)

    def pop(self, queue: str, limit: int, project: Project = None) -> Sequence[Message]:
        return self._lender.pop(queue, limit, project)

    def delete_claimed(
        self, queue: str, held: Sequence[tuple[str, str]], project: Project = None
    ) -> Sequence[tuple[str, str]]:
        with self._store.lock:
            backlog = self._backlog(queue, project, self._clock.time())
            if backlog is None:
                return list(held)
            return [pair for pair in held if not _settle_held(backlog, *pair)]

    def reject(self, queue: str, held: Sequence[tuple[str, str]], project: Project = None) -> Sequence[tuple[str, str]]:
        with self._store.lock:
            found = self._store.find(project, queue, self._clock.time())
            if found is None:
                return list(held)
            has_dlq = found.policy.has_dlq
            left = [pair for pair in held if not _settle_held(found.backlog, *pair, dies=has_dlq)]
        if has_dlq:
            self._dead_letters.dead_letter((project, queue))
        return left

    def purge(self, queue: str, project: Project = None) -> int:
        with self._store.lock:
            backlog = self._backlog(queue, project, self._clock.time())
            if backlog is None:
                return 0
            doomed = [message for message in backlog.messages.values() if backlog.holder(message) is None]
            for message in doomed:
                backlog.remove(message)
            return len(doomed)

    def count(self, queue: str, project: Project = None) -> int:
        with self._store.lock:
            backlog = self._backlog(queue, project, self._clock.time())
            return backlog.count_free() if backlog else 0

    def _backlog(self, queue: str, project: Project, now: float) -> Backlog | None:
        found = self._store.find(project, queue, now)
        return found.backlog if found else None


def _known(backlog: Backlog, message_ids: Iterable[str]) -> list[StoredMessage]:
    known = (backlog.messages.get(message_id) for message_id in dict.fromkeys(message_ids))
    return [message for message in known if message is not None]


def _settle_held(backlog: Backlog, message_id: str, claim_id: str, *, dies: bool = False) -> bool:
    claim = backlog.claims.get(claim_id)
    message = claim.held.get(message_id) if claim else None
    if message is None:
        return False
    if dies:
        backlog.die(message, DeadLetterReason.REJECTED)
    else:
        backlog.remove(message)
    return True


def _has_room(queue: StoredQueue, incoming: Sequence[ValidMessage]) -> bool:
    free = queue.backlog.free_messages()
    sizes = [len(message.record) for message in incoming if not effective_delay(message, queue.metadata)]
    return not sizes or queue.policy.fits(len(free) + len(sizes), sum(sizes) + sum(len(each.record) for each in free))


def _make_room(queue: StoredQueue) -> int:
    """Take the first free messages out of a queue that is too long; return how many."""
    free = sorted(queue.backlog.free_messages(), key=lambda message: message.order)
    size = sum(len(message.record) for message in free)
    for number, message in enumerate(free):
        if queue.policy.fits(len(free) - number, size):
            return number
        size -= len(message.record)
        if queue.policy.has_dlq:
            queue.backlog.die(message, DeadLetterReason.MAX_LENGTH)
        else:
            queue.backlog.remove(message)
    return len(free)


def _refusal(backlog: Backlog, message_id: str, claim: str | None, queue: str, project: Project) -> Exception:
    if claim is None:
        return MessageIsClaimed(message_id)
    if claim in backlog.claims:
        return MessageNotClaimedBy(message_id, claim)
    return ClaimDoesNotExist(claim, queue, project)


def _marker(order: Order) -> str:
    return f"{-order[0]}.{order[1]}"


def _after(marker: str | None) -> Order | None:
    found = _MARKER.fullmatch(marker or "")
    return (-int(found[1]), int(found[2])) if found else None
