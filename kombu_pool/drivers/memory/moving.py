"""Moves of queues out of a store in memory, and into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.memory.states import NEVER, StoredMessage
from kombu_pool.errors import MoveSuperseded
from kombu_pool.model import PresentId
from kombu_pool.moves import MovedMessage
from kombu_pool.storage.moving import BATCH_SIZE
from kombu_pool.storage.moving import MoveController as Contract

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.states import Backlog
    from kombu_pool.drivers.memory.store import DataStore, StoredQueue
    from kombu_pool.model import IdempotencyKey, Project


class MoveController(Contract):
    """Moves messages; the lock of the store makes each call one step."""

    def __init__(self, store: DataStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def set_epoch(self, queue: str, project: Project = None, *, incarnation: str, epoch: int) -> Sequence[str]:
        with self._store.lock:
            found = self._require(queue, project, incarnation)
            if found.epoch > epoch:
                raise MoveSuperseded(queue, project)
            found.epoch = epoch
            return found.last_batch

    def store(
        self, queue: str, messages: Sequence[MovedMessage], project: Project = None, *, incarnation: str, epoch: int
    ) -> None:
        with self._store.lock:
            found = self._require(queue, project, incarnation)
            if found.epoch != epoch:
                raise MoveSuperseded(queue, project)
            now, stored = self._clock.time(), {*found.last_batch}
            for message in messages:
                if message.id not in stored:
                    self._add(found, message, now)
            found.last_batch = [message.id for message in messages]

    def _add(self, queue: StoredQueue, moved: MovedMessage, now: float) -> None:
        expires = NEVER if moved.expires is None else moved.expires
        message = StoredMessage(
            sequence=self._store.next_moved_id(),
            record=moved.record,
            created=moved.created,
            ttl=moved.ttl,
            expires=expires,
            priority=moved.priority,
            due=moved.due or 0.0,
            client=moved.client,
            dead_letter=moved.dead_letter,  # type: ignore[arg-type] # the stored form of a header
            key=moved.key,
            claim_count=moved.claim_count,
        )
        if moved.unique is not None:
            queue.unique_ids.adopt(moved.unique, message, queue.backlog, now)
        queue.backlog.add(message, now)

    def take(
        self, queue: str, project: Project = None, limit: int = BATCH_SIZE, *, incarnation: str, delayed: bool = False
    ) -> Sequence[MovedMessage]:
        with self._store.lock:
            found = self._require(queue, project, incarnation)
            for message in () if found.put_aside else _first(found.backlog, limit, delayed=delayed):
                found.put_aside[message.id] = _to_moved(found, message)
                found.backlog.remove(message)
            return [*found.put_aside.values()]

    def remove(self, queue: str, message_ids: Collection[str], project: Project = None, *, incarnation: str) -> None:
        with self._store.lock:
            found = self._require(queue, project, incarnation)
            for message_id in message_ids:
                found.put_aside.pop(message_id, None)

    def remaining(self, queue: str, project: Project = None, *, incarnation: str) -> int:
        with self._store.lock:
            if (project, queue) not in self._store.queues:
                return 0
            found, now = self._require(queue, project, incarnation), self._clock.time()
            backlog = found.backlog
            stored = len(backlog.messages) + len(backlog.dead) + len(found.put_aside)
            return stored + found.unique_ids.count_timed(backlog, now)

    def completed_post(
        self, queue: str, idempotency_key: IdempotencyKey, project: Project = None
    ) -> Sequence[str] | None:
        with self._store.lock:
            found = self._store.queues.get((project, queue))
            return None if found is None else found.idempotency.ids(idempotency_key)

    def unique_holder(self, queue: str, unique_id: str, project: Project = None) -> PresentId | None:
        with self._store.lock:
            now = self._clock.time()
            found = self._store.find(project, queue, now)
            if found is None:
                return None
            for moved in found.put_aside.values():
                if moved.unique is not None and moved.unique[0] == unique_id:
                    return PresentId.of(moved.id, moved.key)
            return found.unique_ids.holder(unique_id, found.backlog, now)

    def _require(self, queue: str, project: Project, incarnation: str) -> StoredQueue:
        return self._store.require(project, queue, self._clock.time(), incarnation)


def _first(backlog: Backlog, limit: int, *, delayed: bool) -> list[StoredMessage]:
    """Return the first free messages, or with ``delayed`` none of them, and then the first delayed ones."""
    free = [] if delayed else sorted(backlog.free_messages(), key=lambda message: message.order)
    later = sorted(filter(backlog.is_delayed, backlog.messages.values()), key=lambda message: message.order)
    return [*free, *later][:limit]


def _to_moved(queue: StoredQueue, message: StoredMessage) -> MovedMessage:
    return MovedMessage(
        id=message.id,
        record=message.record,
        created=message.created,
        ttl=message.ttl,
        priority=message.priority,
        expires=None if message.expires == NEVER else message.expires,
        due=message.due if queue.backlog.is_delayed(message) else None,
        claim_count=message.claim_count,
        key=message.key,
        client=message.client,
        dead_letter=message.dead_letter,  # type: ignore[arg-type] # the stored form of a header
        unique=queue.unique_ids.held_by(message),
    )
