"""The messages of a queue that is moving: new ones are stored in the target, and both pools are read."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kombu_pool import errors
from kombu_pool.model import KeyResult, QueueCounts
from kombu_pool.pooling.moving.unique import displaced, restored
from kombu_pool.storage import DEFAULT_LIMIT, MessageController
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.inspection import MAX_COUNTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from kombu_pool.model import IdempotencyKey, Message, NewMessage, Project
    from kombu_pool.pooling.moving.sides import Sides
    from kombu_pool.pooling.pool_handle import PoolHandle

#: What the marker of a page begins with that ends in the source.
_IN_SOURCE = "<"


class MovingMessages(MessageController):
    """The messages of one queue in both pools; those of the source come first."""

    def __init__(self, sides: Sides) -> None:
        self._sides = sides

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
        given = [*messages]
        present = displaced(self._sides, queue, given, project)
        stored = [message for message, held in zip(given, present, strict=True) if held is None]
        with self._sides.target as target:
            ids = target.messages.post(
                queue, stored, client_uuid, project, idempotency_key=idempotency_key, incarnation=incarnation
            )
        return restored(present, ids)

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
        def page(pool: PoolHandle, after: str | None, most: int) -> tuple[list[Message], str]:
            listing = pool.messages.list(
                queue, project, after, most, echo, client_uuid, include_claimed, include_delayed
            )
            return [*next(listing)], next(listing)

        if marker and not marker.startswith(_IN_SOURCE):
            with self._sides.target as target:
                return iter(page(target, marker, limit))
        with self._sides.source() as source:
            found, end = page(source, (marker or "").removeprefix(_IN_SOURCE) or None, limit)
        rest: list[Message] = []
        last = ""
        if not limit or len(found) < limit:
            with self._sides.target as target:
                rest, last = page(target, None, limit and limit - len(found))
        return iter(([*found, *rest], last or (_IN_SOURCE + end if found else "")))

    def bulk_get(self, queue: str, message_ids: Iterable[str], project: Project = None) -> Iterator[Message]:
        ids = [*message_ids]
        source, target = self._sides.both(lambda pool: [*pool.messages.bulk_get(queue, ids, project)])
        present = {message["id"] for message in source}
        return iter([*source, *(message for message in target if message["id"] not in present)])

    def get(self, queue: str, message_id: str, project: Project = None) -> Message:
        with suppress(errors.DoesNotExist), self._sides.source() as source:
            return source.messages.get(queue, message_id, project)
        with self._sides.target as target:
            return target.messages.get(queue, message_id, project)

    def first(self, queue: str, project: Project = None, sort: int = 1) -> Message:
        if sort == 1:
            with suppress(errors.DoesNotExist, errors.QueueIsEmpty), self._sides.source() as source:
                return source.messages.first(queue, project, sort)
        with self._sides.target as target:
            try:
                return target.messages.first(queue, project, sort)
            except errors.QueueIsEmpty:
                if sort == 1:
                    raise
        with self._sides.source() as source:
            return source.messages.first(queue, project, sort)

    def delete(self, queue: str, message_id: str, project: Project = None, claim: str | None = None) -> None:
        for pool in self._holding(queue, [message_id], project):
            with pool:
                pool.messages.delete(queue, message_id, project, claim)

    def bulk_delete(
        self, queue: str, message_ids: Iterable[str], project: Project = None, claim_ids: Sequence[str] | None = None
    ) -> None:
        ids = [*message_ids]
        for pool, present in self._holding(queue, ids, project).items():
            with pool:
                pool.messages.bulk_delete(queue, present, project, claim_ids)

    def _holding(self, queue: str, ids: Sequence[str], project: Project) -> dict[PoolHandle, Sequence[str]]:
        """Return the pools that hold some of the messages, with those that each holds."""
        held: dict[PoolHandle, Sequence[str]] = {}
        with self._sides.source() as source:
            here = [message["id"] for message in source.messages.bulk_get(queue, ids, project)]
        if here:
            held[source] = here
        if there := [message_id for message_id in ids if message_id not in here]:
            held[self._sides.target] = there
        return held

    def pop(self, queue: str, limit: int, project: Project = None) -> Sequence[Message]:
        return self._sides.first_answer(lambda pool: pool.messages.pop(queue, limit, project), bool)

    def delete_claimed(
        self, queue: str, held: Sequence[tuple[str, str]], project: Project = None
    ) -> Sequence[tuple[str, str]]:
        return self._sides.rest(lambda pool, rest: pool.messages.delete_claimed(queue, rest, project), held)

    def reject(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        project: Project = None,
        *,
        reason: str = DeadLetterReason.REJECTED,
    ) -> Sequence[tuple[str, str]]:
        return self._sides.rest(lambda pool, rest: pool.messages.reject(queue, rest, project, reason=reason), held)

    def due_times(
        self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT
    ) -> Sequence[tuple[str, float | None]]:
        source, target = self._sides.both(lambda pool: pool.messages.due_times(queue, project, limit))
        return sorted([*source, *target], key=lambda each: each[1] or 0.0)[:limit]

    def delayed_ids(self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT) -> Sequence[str]:
        return [message_id for message_id, _ in self.due_times(queue, project, limit)]

    def purge(self, queue: str, project: Project = None) -> int:
        return sum(self._sides.both(lambda pool: pool.messages.purge(queue, project)))

    def count(self, queue: str, project: Project = None) -> int:
        return sum(self._sides.both(lambda pool: pool.messages.count(queue, project)))

    def count_many(
        self, queues: Sequence[tuple[Project, str]], limit: int = MAX_COUNTED
    ) -> Sequence[QueueCounts | None]:
        both = self._sides.both(lambda pool: pool.messages.count_many(queues, limit))
        return [_together(source, target) for source, target in zip(*both, strict=True)]

    def find(self, key: str, queue: str | None = None, project: Project = None) -> KeyResult:
        return self._by_key(lambda pool: pool.messages.find(key, queue, project))

    def cancel(self, key: str, queue: str | None = None, project: Project = None) -> KeyResult:
        return self._by_key(lambda pool: pool.messages.cancel(key, queue, project))

    def change(
        self,
        key: str,
        due: float | None = None,
        priority: int | None = None,
        queue: str | None = None,
        project: Project = None,
    ) -> KeyResult:
        return self._by_key(lambda pool: pool.messages.change(key, due, priority, queue, project))

    def _by_key(self, call: Callable[[PoolHandle], KeyResult]) -> KeyResult:
        result = KeyResult()
        for answer in self._sides.both(call):
            result.add(answer)
        return result


def _together(source: QueueCounts | None, target: QueueCounts | None) -> QueueCounts | None:
    """Return the counts of two queues as those of one."""
    if source is None or target is None:
        return target or source
    ages = [counts.oldest_age for counts in (source, target) if counts.oldest_age is not None]
    return QueueCounts(
        source.free + target.free,
        source.delayed + target.delayed,
        source.claimed + target.claimed,
        max(ages, default=None),
        is_exact=source.is_exact and target.is_exact,
        paused=target.paused,
    )
