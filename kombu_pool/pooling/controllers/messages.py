"""Messages over many pools."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from kombu_pool import errors, storage
from kombu_pool.model import PresentId
from kombu_pool.pooling.controllers.keys import cancel_in_pool, merged
from kombu_pool.pooling.controllers.routing import Routing
from kombu_pool.pooling.pool_calls import in_every_pool
from kombu_pool.storage import DEFAULT_LIMIT
from kombu_pool.storage.counters import Counter
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.inspection import MAX_COUNTED
from kombu_pool.storage.keys import check_change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from kombu_pool.model import IdempotencyKey, KeyResult, Message, NewMessage, Project, QueueCounts
    from kombu_pool.pooling.catalog import Catalog
    from kombu_pool.pooling.pool_handle import PoolHandle


#: Pools that may refuse a post one after the other, each because the queue has moved on, until it fails.
_MAX_REFUSALS = 10


class MessageController(Routing, storage.MessageController):
    """Stores messages in the pools of their queues."""

    def __init__(self, pool_catalog: Catalog) -> None:
        super().__init__(pool_catalog)
        self._unanswered = pool_catalog.unanswered

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
        _, _, pool, present = self._route(queue, project)
        if incarnation is not None:
            present = incarnation
        if not isinstance(messages, (list, tuple)):
            messages = list(messages)
        stored_before = self._unanswered.ids(pool.name, queue, project, idempotency_key)
        if stored_before is not None:
            return stored_before
        try:  # what "with pool" does, in less time
            ids = pool.messages.post(
                queue, messages, client_uuid, project, idempotency_key=idempotency_key, incarnation=present
            )
        except errors.QueueDoesNotExist as error:
            pool.record_error(error)
            if incarnation is not None:
                raise
            ids, present = self._post_again(present, queue, messages, client_uuid, project, idempotency_key)
        except BaseException as error:
            self._failed(error, pool, queue, project, idempotency_key)
            raise
        else:
            if pool.outage is not None:
                pool.mark_up()
        stored = len(ids)
        if PresentId in map(type, ids):
            stored = sum(type(one) is not PresentId for one in ids)
        self._count(project, queue, present, Counter.PUBLISHED, stored)
        return ids

    def _post_again(
        self, refused: str | None, queue: str, messages: Sequence[NewMessage], client_uuid: object,
        project: Project, idempotency_key: IdempotencyKey | None,
    ) -> tuple[Sequence[str], str]:  # fmt: skip
        """Post to the present pool, after another one refused it; return the ids, and the incarnation that has them."""
        for _ in range(_MAX_REFUSALS):
            pool, present = self._catalog.lives.current(queue, project, refused)
            try:
                with pool:
                    return self._post(pool, present, queue, messages, client_uuid, project, idempotency_key), present
            except errors.QueueDoesNotExist:
                refused = present  # It has moved meanwhile, or this pool lost it.
        raise errors.QueueDoesNotExist(queue, project)

    def _post(
        self, pool: PoolHandle, present: str, queue: str, messages: Sequence[NewMessage], client_uuid: object,
        project: Project, idempotency_key: IdempotencyKey | None,
    ) -> Sequence[str]:  # fmt: skip
        """Post to the present pool, after another one refused it."""
        stored = self._unanswered.ids(pool.name, queue, project, idempotency_key)
        if stored is not None:
            return stored
        try:
            return pool.messages.post(
                queue, messages, client_uuid, project, idempotency_key=idempotency_key, incarnation=present
            )
        except BaseException as error:
            self._failed(error, pool, queue, project, idempotency_key)
            raise

    def _failed(
        self, error: BaseException, pool: PoolHandle, queue: str, project: Project, key: IdempotencyKey | None
    ) -> None:
        """Remember a post whose result is unknown, and record an outage."""
        is_unknown = isinstance(error, errors.ConnectionError) or not isinstance(error, errors.KombuPoolError)
        if key is not None and is_unknown:
            self._unanswered.add(pool.name, queue, project, key)
        pool.record_error(error)

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
        with self._pool(queue, project) as pool:
            return pool.messages.list(
                queue, project, marker, limit, echo, client_uuid, include_claimed, include_delayed
            )

    def get(self, queue: str, message_id: str, project: Project = None) -> Message:
        with self._pool(queue, project) as pool:
            return pool.messages.get(queue, message_id, project)

    def first(self, queue: str, project: Project = None, sort: int = 1) -> Message:
        with self._pool(queue, project) as pool:
            return pool.messages.first(queue, project, sort)

    def bulk_get(self, queue: str, message_ids: Iterable[str], project: Project = None) -> Iterator[Message]:
        with self._pool(queue, project) as pool:
            return pool.messages.bulk_get(queue, message_ids, project)

    def delete(self, queue: str, message_id: str, project: Project = None, claim: str | None = None) -> None:
        _, _, pool, present = self._route(queue, project)
        with pool:
            pool.messages.delete(queue, message_id, project, claim)
        if claim is not None:
            self._count(project, queue, present, Counter.ACKED, 1)

    def bulk_delete(
        self, queue: str, message_ids: Iterable[str], project: Project = None, claim_ids: Sequence[str] | None = None
    ) -> None:
        with self._pool(queue, project) as pool:
            pool.messages.bulk_delete(queue, message_ids, project, claim_ids)

    def pop(self, queue: str, limit: int, project: Project = None) -> Sequence[Message]:
        _, _, pool, present = self._route(queue, project)
        with pool:
            popped = pool.messages.pop(queue, limit, project)
        self._count_claimed(project, queue, present, popped)
        self._count(project, queue, present, Counter.ACKED, len(popped))
        return popped

    def delete_claimed(
        self, queue: str, held: Sequence[tuple[str, str]], project: Project = None
    ) -> Sequence[tuple[str, str]]:
        _, _, pool, present = self._route(queue, project)
        with pool:
            refused = pool.messages.delete_claimed(queue, held, project)
        self._count(project, queue, present, Counter.ACKED, len(held) - len(refused))
        return refused

    def reject(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        project: Project = None,
        *,
        reason: str = DeadLetterReason.REJECTED,
    ) -> Sequence[tuple[str, str]]:
        _, _, pool, present = self._route(queue, project)
        with pool:
            refused = pool.messages.reject(queue, held, project, reason=reason)
        if reason == DeadLetterReason.REJECTED:
            self._count(project, queue, present, Counter.REJECTED, len(held) - len(refused))
        return refused

    def delayed_ids(self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT) -> Sequence[str]:
        with self._pool(queue, project) as pool:
            return pool.messages.delayed_ids(queue, project, limit)

    def purge(self, queue: str, project: Project = None) -> int:
        with self._pool(queue, project) as pool:
            return pool.messages.purge(queue, project)

    def find(self, key: str, queue: str | None = None, project: Project = None) -> KeyResult:
        return self._by_key(queue, project, lambda messages: messages.find(key, queue, project))

    def cancel(self, key: str, queue: str | None = None, project: Project = None) -> KeyResult:
        return self._by_key(queue, project, lambda messages: messages.cancel(key, queue, project))

    def cancel_many(self, keys: Iterable[str], project: Project = None) -> KeyResult:
        keys = [*keys]
        return merged(*in_every_pool(self._catalog, partial(cancel_in_pool, keys, project)))

    def change(
        self,
        key: str,
        due: float | None = None,
        priority: int | None = None,
        queue: str | None = None,
        project: Project = None,
    ) -> KeyResult:
        check_change(due, priority)
        return self._by_key(queue, project, lambda messages: messages.change(key, due, priority, queue, project))

    def _by_key(
        self, queue: str | None, project: Project, call: Callable[[storage.MessageController], KeyResult]
    ) -> KeyResult:
        if queue is not None:
            with self._pool(queue, project) as pool:
                return call(pool.messages)
        return merged(*in_every_pool(self._catalog, lambda pool, _: call(pool.messages)))

    def count(self, queue: str, project: Project = None) -> int:
        with self._pool(queue, project) as pool:
            return pool.messages.count(queue, project)

    def due_times(
        self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT
    ) -> Sequence[tuple[str, float | None]]:
        with self._pool(queue, project) as pool:
            return pool.messages.due_times(queue, project, limit)

    def count_many(
        self, queues: Sequence[tuple[Project, str]], limit: int = MAX_COUNTED
    ) -> Sequence[QueueCounts | None]:
        found: dict[tuple[Project, str], QueueCounts | None] = {}

        def count(pool: PoolHandle, of_pool: Sequence[tuple[Project, str]]) -> None:
            found.update(zip(of_pool, pool.messages.count_many(of_pool, limit), strict=True))

        self._in_each_pool(queues, count)
        return [found[scope] for scope in queues]
