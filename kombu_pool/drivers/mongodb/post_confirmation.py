"""Confirms posts, which rely on a cached queue: what was stored after a deletion or a seal is withdrawn.

In a sealed queue a consumer may have claimed such a message already, or a move put it aside: then it counts as stored.
Else its document becomes a void record, by which :meth:`MessageWriter.completed_post` is known to have stored nothing,
though the producer may have died before it knew.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.codec import IDEMPOTENCY_RECORD, PARTIAL
from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.storage import IDEMPOTENCY_WINDOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymongo.client_session import ClientSession

    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.posting import MessageWriter
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store

#: The fields of a message that a void record has not.
_CONTENT: Final = dict.fromkeys((*"bcdeghjmovu", "vs", "vw"), "")


class _SeenError(Exception):
    """A message of the post cannot be withdrawn any more."""


class PostConfirmation:
    """The last step of a post."""

    def __init__(self, store: Store, writer: MessageWriter) -> None:
        self._store = store
        self._writer = writer

    def check(self, queue: Queue, documents: Sequence[dict[str, Any]], ids: Sequence[bytes]) -> None:
        """Confirm that the queue was as its post knew it until now; else withdraw the messages with these ids.

        The ``documents`` are those that this call stored, if the post was not made before.

        Raises:
            QueueDoesNotExist: the queue was deleted or sealed meanwhile; none of the messages is stored.
        """
        if self._store.is_fresh(queue):
            return
        found = self._store.queue(queue.project, queue.name)
        if found is None or found.incarnation != queue.incarnation:
            # No consumer has seen them.
            stored = [document["_id"] for document in documents]
            self._store.messages.delete_many({**queue.scope, "_id": {"$in": stored}})
        elif not found.is_sealed or not self._withdraw(queue, documents, ids):
            return
        raise QueueDoesNotExist(queue.name, queue.project)

    def _withdraw(self, queue: Queue, documents: Sequence[dict[str, Any]], ids: Sequence[bytes]) -> bool:
        """Withdraw all messages of a post or none; return whether they are withdrawn."""
        held = [document["vs"] for document in documents if "vs" in document]
        holds: Filter = {**queue.scope, "v": {"$in": held}, "k": {"$in": [[message] for message in ids]}}
        now = self._store.now()
        waiting: Filter = {**queue.scope, "_id": {"$in": list(ids)}, **states.waiting(now)}
        if not self._store.client.has_transactions:
            return self._withdraw_in_steps(waiting, holds, len(ids), now)
        try:
            self._store.client.transact(partial(self._withdraw_at_once, waiting, holds, len(ids), now))
        except _SeenError:
            return self.is_withdrawn(queue, ids)
        return True

    def _withdraw_at_once(self, waiting: Filter, holds: Filter, count: int, now: float, session: ClientSession) -> None:
        messages = self._store.messages
        if messages.update_many(waiting, _void(now), session=session).modified_count < count:
            raise _SeenError
        if holds["v"]["$in"]:
            messages.delete_many(holds, session=session, hint=states.BY_UNIQUE_ID)

    def _withdraw_in_steps(self, waiting: Filter, holds: Filter, count: int, now: float) -> bool:
        messages, post = self._store.messages, os.urandom(12)
        partial_post = {**{key: waiting[key] for key in ("p", "q", "i")}, "s": PARTIAL, "o": post}
        if messages.update_many(waiting, {"$set": {"s": PARTIAL, "o": post}}).modified_count < count:
            self._writer.make_visible(partial_post, post)
            return False
        if holds["v"]["$in"]:
            # First: a hold without its message would keep the same one from being posted elsewhere.
            messages.delete_many(holds, hint=states.BY_UNIQUE_ID)
        messages.update_many(partial_post, _void(now))
        return True

    def is_withdrawn(self, queue: Queue, ids: Sequence[bytes]) -> bool:
        """Return whether the post of these messages was withdrawn."""
        where = {**queue.scope, "_id": {"$in": list(ids)}, "s": IDEMPOTENCY_RECORD}
        return self._store.messages.find_one(where, {"_id": 1}) is not None


def _void(now: float) -> dict[str, Any]:
    """Return the update that makes a void record of a message."""
    return {"$set": {"s": IDEMPOTENCY_RECORD, "x": now + IDEMPOTENCY_WINDOW, "k": []}, "$unset": _CONTENT}
