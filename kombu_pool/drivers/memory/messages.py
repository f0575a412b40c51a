"""Messages: posting, reading, deleting."""

from __future__ import annotations

import re
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.memory.claiming import is_claim_id
from kombu_pool.drivers.memory.codec import to_message
from kombu_pool.drivers.memory.inspection import counts_of
from kombu_pool.drivers.memory.message_keys import KeyedMessages
from kombu_pool.drivers.memory.states import NEVER, StoredMessage
from kombu_pool.drivers.memory.unique import displacements, drop
from kombu_pool.errors import (
    ClaimDoesNotExist,
    ClaimDoesNotMatch,
    MessageIsClaimed,
    MessageNotClaimed,
    MessageNotClaimedBy,
    QueueDoesNotExist,
    QueueIsFull,
)
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import MessageController as Contract
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.inspection import MAX_COUNTED
from kombu_pool.storage.moving import is_sealed
from kombu_pool.storage.unique import UniquePost, has_unique
from kombu_pool.storage.validation import effective_delay, effective_ttl, validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.claiming import Claimer
    from kombu_pool.drivers.memory.dead_letters import DeadLetters
    from kombu_pool.drivers.memory.shared import Location
    from kombu_pool.drivers.memory.states import Backlog, Order
    from kombu_pool.drivers.memory.store import DataStore, StoredQueue
    from kombu_pool.model import IdempotencyKey, KeyResult, Message, NewMessage, Project, QueueCounts
    from kombu_pool.storage.validation import ValidMessage

_MARKER = re.compile(r"([0-9]{1,3})\.([0-9]{1,20})")


class MessageController(Contract):
    """Messages of an in-memory store."""

    def __init__(
        self, store: DataStore, clock: Clock, claimer: Claimer, dead_letters: DeadLetters, location: Location
    ) -> None:
        self._store = store
        self._clock = clock
        self._claimer = claimer
        self._dead_letters = dead_letters
        self._keyed = KeyedMessages(store, clock)
        self._limit = location.max_message_size
        self.enable_checksum = location.enable_checksum

    def post(
        self,
        queue: str,
        messages: Iterable[NewMessage],
        client_uuid: object,
        project: Project = None,
        *,
        idempotency_key: IdempotencyKey | None = None,
        incarnation: str | None = None,
    ) -> Sequence[str]:
        incoming = [validate(message, self._limit) for message in messages]
        if not incoming:
            return []
        post = UniquePost(incoming) if has_unique(incoming) else None
        client = None if client_uuid is None else str(client_uuid)
        with self._store.lock:
            now = self._clock.time()
            found = self._store.require(project, queue, now, incarnation)
            if is_sealed(found.incarnation):
                raise QueueDoesNotExist(queue, project)
            if idempotency_key is not None and (ids := found.idempotency.ids(idempotency_key)) is not None:
                return ids
            holds = displacements(found, post, now) if post is not None else ()
            incoming = incoming if post is None else post.stored
            if found.policy.is_bounded and found.policy.rejects_overflow and not _has_room(found, incoming, now):
                raise QueueIsFull(queue, project)
            if post is not None:
                drop(found, post, holds, now)
            posted: Sequence[str] = [self._add(found, message, client, now) for message in incoming]
            if post is not None:
                posted = post.ids(posted)
            if idempotency_key is not None:
                found.idempotency.add(idempotency_key, now, posted)
            makes_room = found.policy.is_bounded and not found.policy.rejects_overflow
            overflowed = _make_room(found) if makes_room else 0
        if overflowed:
            self._dead_letters.dead_letter_some((project, queue))
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
            key=incoming.key,
        )
        queue.unique_ids.enter(incoming.unique, message, queue.backlog, now)
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
                and (include_claimed or backlog.claim_of(message) is None)
                and (include_delayed or not backlog.is_delayed(message))
            ]
            first = nsmallest(limit or len(listed), listed, key=lambda message: message.order)
            messages = [to_message(message, now) for message in first]
        return iter((messages, _marker(first[-1].order) if first else ""))

    def bulk_get(self, queue: str, message_ids: Iterable[str], project: Project = None) -> Iterator[Message]:
        wanted = list(message_ids)
        with self._store.lock:
            now = self._clock.time()
            backlog = self._backlog(queue, project, now)
            existing = _existing(backlog, wanted) if backlog else []
            return iter([to_message(message, now) for message in existing])

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
            holding = backlog.claim_of(message)
            if holding is None and claim is not None:
                raise MessageNotClaimed(message_id)
            if holding is not None and holding.id != claim:
                raise _refusal(backlog, message_id, claim, queue, project)
            backlog.remove(message)

    def bulk_delete(
        self, queue: str, message_ids: Iterable[str], project: Project = None, claim_ids: Sequence[str] | None = None
    ) -> None:
        ids = list(message_ids)
        with self._store.lock:
            backlog = self._backlog(queue, project, self._clock.time())
            if backlog is None:
                return
            existing = _existing(backlog, ids)
            for message in existing if claim_ids is not None else ():
                holding = backlog.claim_of(message)
                if holding is None:
                    raise MessageNotClaimed(message.id)
                if holding.id not in (claim_ids or ()):
                    raise ClaimDoesNotMatch(holding.id, queue, project)
            for message in existing:
                backlog.remove(message)

    def pop(self, queue: str, limit: int, project: Project = None) -> Sequence[Message]:
        return self._claimer.pop(queue, limit, project)

    def delete_claimed(
        self, queue: str, held: Sequence[tuple[str, str]], project: Project = None
    ) -> Sequence[tuple[str, str]]:
        with self._store.lock:
            backlog = self._backlog(queue, project, self._clock.time())
            if backlog is None:
                return list(held)
            return [pair for pair in held if not _delete_held(backlog, *pair)]

    def reject(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        project: Project = None,
        *,
        reason: str = DeadLetterReason.REJECTED,
    ) -> Sequence[tuple[str, str]]:
        with self._store.lock:
            found = self._store.find(project, queue, self._clock.time())
            if found is None:
                return list(held)
            has_dlq = found.policy.has_dlq
            refused = [pair for pair in held if not _delete_held(found.backlog, *pair, reason if has_dlq else None)]
        if has_dlq:
            self._dead_letters.dead_letter_some((project, queue))
        return refused

    def delayed_ids(self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT) -> Sequence[str]:
        return [message_id for message_id, _ in self.due_times(queue, project, limit)]

    def due_times(
        self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT
    ) -> Sequence[tuple[str, float | None]]:
        with self._store.lock:
            backlog = self._backlog(queue, project, self._clock.time())
            delayed = filter(backlog.is_delayed, backlog.messages.values()) if backlog else ()
            first = nsmallest(limit, delayed, key=lambda each: (each.due, each.order))
            return [(message.id, message.due) for message in first]

    def purge(self, queue: str, project: Project = None) -> int:
        with self._store.lock:
            backlog = self._backlog(queue, project, self._clock.time())
            if backlog is None:
                return 0
            unclaimed = [message for message in backlog.messages.values() if backlog.claim_of(message) is None]
            for message in unclaimed:
                backlog.remove(message)
            return len(unclaimed)

    def count_many(
        self, queues: Sequence[tuple[Project, str]], limit: int = MAX_COUNTED
    ) -> Sequence[QueueCounts | None]:
        with self._store.lock:
            now = self._clock.time()
            found = [self._store.find(project, queue, now) for project, queue in queues]
            return [counts_of(each, now) if each else None for each in found]

    def count(self, queue: str, project: Project = None) -> int:
        with self._store.lock:
            backlog = self._backlog(queue, project, self._clock.time())
            return backlog.count_free() if backlog else 0

    def find(self, key: str, queue: str | None = None, project: Project = None) -> KeyResult:
        return self._keyed.find(key, queue, project)

    def cancel(self, key: str, queue: str | None = None, project: Project = None) -> KeyResult:
        return self._keyed.cancel(key, queue, project)

    def change(
        self,
        key: str,
        due: float | None = None,
        priority: int | None = None,
        queue: str | None = None,
        project: Project = None,
    ) -> KeyResult:
        return self._keyed.change(key, due, priority, queue, project)

    def _backlog(self, queue: str, project: Project, now: float) -> Backlog | None:
        found = self._store.find(project, queue, now)
        return found.backlog if found else None


def _existing(backlog: Backlog, message_ids: Iterable[str]) -> list[StoredMessage]:
    found = (backlog.messages.get(message_id) for message_id in dict.fromkeys(message_ids))
    return [message for message in found if message is not None]


def _delete_held(backlog: Backlog, message_id: str, claim_id: str, reason: str | None = None) -> bool:
    claim = backlog.claims.get(claim_id)
    message = claim.held.get(message_id) if claim else None
    if message is None:
        return False
    if reason is not None:
        backlog.mark_dead(message, reason)
    else:
        backlog.remove(message)
    return True


def _has_room(queue: StoredQueue, incoming: Sequence[ValidMessage], now: float) -> bool:
    replaced = queue.unique_ids.replaced(incoming, queue.backlog, now)
    free = [message for message in queue.backlog.free_messages() if message.id not in replaced]
    sizes = [len(message.record) for message in incoming if not effective_delay(message, queue.metadata)]
    return not sizes or queue.policy.fits(len(free) + len(sizes), sum(sizes) + sum(len(each.record) for each in free))


def _make_room(queue: StoredQueue) -> int:
    """Remove the first free messages of a queue above its max length; return their number."""
    free = sorted(queue.backlog.free_messages(), key=lambda message: message.order)
    size = sum(len(message.record) for message in free)
    for number, message in enumerate(free):
        if queue.policy.fits(len(free) - number, size):
            return number
        size -= len(message.record)
        if queue.policy.has_dlq:
            queue.backlog.mark_dead(message, DeadLetterReason.MAX_LENGTH)
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
