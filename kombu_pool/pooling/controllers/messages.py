"""Messages over many pools."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from kombu_pool import errors, storage
from kombu_pool.pooling.controllers.routing import Routing
from kombu_pool.storage import DEFAULT_LIMIT, page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kombu_pool.model import IdempotencyKey, Message, NewMessage, Project
    from kombu_pool.pooling.pool_handle import Member

logger = logging.getLogger(__name__)

#: Seconds that pass between a queue's end in its pool and that of its record, at the most.
_DELETION = 0.1


class MessageController(Routing, storage.MessageController):
    """Keeps messages in the pools of their queues."""

    def post(
        self,
        queue: str,
        messages: Iterable[NewMessage],
        client_uuid: object,
        project: Project = None,
        *,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Sequence[str]:
        member = self._pool(queue, project)
        if member is None:
            raise errors.QueueDoesNotExist(queue, project)
        if not isinstance(messages, list):
            messages = list(messages)
        try:
            with member:
                return member.messages.post(queue, messages, client_uuid, project, idempotency_key=idempotency_key)
        except errors.QueueDoesNotExist:
            # Deleted and declared again elsewhere, it may live in another pool since it was looked up.
            home = self._catalog.pool_now(queue, project)
            if home is None:
                raise
            if home is member:
                self._restore(home, queue, project)
        with home:
            return home.messages.post(queue, messages, client_uuid, project, idempotency_key=idempotency_key)

    def _restore(self, home: Member, queue: str, project: Project) -> None:
        """Create a queue anew in a pool that lost what it held; raises QueueDoesNotExist if it was deleted instead."""
        known = self._catalog.control.queue_controller
        known.get(queue, project)
        # Deleting takes it from its pool before it takes its record: who does that now has done so after this.
        time.sleep(_DELETION)
        metadata = known.get(queue, project)
        logger.warning("Pool %s lost queue %r; it is created anew there", home.name, queue)
        with home:
            home.queues.create(queue, metadata, project)

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
        member = self._pool(queue, project)
        if member is None:
            return page([], str)
        with member:
            return member.messages.list(
                queue, project, marker, limit, echo, client_uuid, include_claimed, include_delayed
            )

    def get(self, queue: str, message_id: str, project: Project = None) -> Message:
        with self._home(queue, project) as member:
            return member.messages.get(queue, message_id, project)

    def first(self, queue: str, project: Project = None, sort: int = 1) -> Message:
        with self._home(queue, project) as member:
            return member.messages.first(queue, project, sort)

    def bulk_get(self, queue: str, message_ids: Iterable[str], project: Project = None) -> Sequence[Message]:
        member = self._pool(queue, project)
        if member is None:
            return []
        with member:
            return member.messages.bulk_get(queue, message_ids, project)

    def delete(self, queue: str, message_id: str, project: Project = None, claim: str | None = None) -> None:
        member = self._pool(queue, project)
        if member is not None:
            with member:
                member.messages.delete(queue, message_id, project, claim)

    def bulk_delete(
        self, queue: str, message_ids: Iterable[str], project: Project = None, claim_ids: Sequence[str] | None = None
    ) -> None:
        member = self._pool(queue, project)
        if member is not None:
            with member:
                member.messages.bulk_delete(queue, message_ids, project, claim_ids)

    def pop(self, queue: str, limit: int, project: Project = None) -> Sequence[Message]:
        member = self._pool(queue, project)
        if member is None:
            return []
        with member:
            return member.messages.pop(queue, limit, project)

    def delete_claimed(
        self, queue: str, held: Sequence[tuple[str, str]], project: Project = None
    ) -> Sequence[tuple[str, str]]:
        member = self._pool(queue, project)
        if member is None:
            return list(held)
        with member:
            return member.messages.delete_claimed(queue, held, project)

    def reject(self, queue: str, held: Sequence[tuple[str, str]], project: Project = None) -> Sequence[tuple[str, str]]:
        member = self._pool(queue, project)
        if member is None:
            return list(held)
        with member:
            return member.messages.reject(queue, held, project)

    def purge(self, queue: str, project: Project = None) -> int:
        member = self._pool(queue, project)
        if member is None:
            return 0
        with member:
            return member.messages.purge(queue, project)

    def count(self, queue: str, project: Project = None) -> int:
        member = self._pool(queue, project)
        if member is None:
            return 0
        with member:
            return member.messages.count(queue, project)
