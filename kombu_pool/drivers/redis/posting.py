"""Stores messages in a queue, and makes room for them in a queue that is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kombu_pool.drivers.redis.codec import pack_incarnation
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import QueueIsFull

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import Project

_POST = script("post", replicated=True, busy_wait=True)
_POST_BOUNDED = script("post_bounded", replicated=True, busy_wait=True)
_POST_TRANSIENT, _POST_BOUNDED_TRANSIENT = (one._replace(replicated=False) for one in (_POST, _POST_BOUNDED))


class Posted(Struct):
    """The reply to a post.

    The ids, joined, or None when no queue bears the incarnation; whether the queue has dead messages; and for each
    message that another one displaces its place, from 1, and the key of the other one.
    """

    ids: bytes | None
    has_dead: bool = False
    displaced: Sequence[Any] = ()


_BOUNDED = b"bounded"
_FULL = b"full"
#: Queues that are remembered as bounded; the set is emptied when it is full.
_MAX_REMEMBERED = 10_000


class MessageWriter:
    """Posts with the script that the queue needs: a bounded one has a max length, or dead-letters what expires.

    The reply to a post tells whether the queue is bounded, which is remembered. A wrong memory costs a round trip, or
    some time of the server once the queue is no longer bounded.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bounded: set[bytes] = set()

    def post(
        self,
        queue: str,
        project: Project,
        arguments: Sequence[Any],
        incarnation: str | None = None,
        *,
        transient: bool = False,
        unique: bool = False,
    ) -> Posted:
        """Store messages, which follow their idempotency key in the arguments of the scripts.

        Transient ones do not wait for replicas. ``unique``: one of them is unique.

        Raises:
            QueueIsFull: the queue rejects overflow and lacks room for all of them; none was stored.
        """
        store = self._store
        keys = store.keys(project, queue)
        arguments = (pack_incarnation(incarnation), *arguments)
        if keys.queue not in self._bounded and not unique:
            ids = store.client.call(_POST_TRANSIENT if transient else _POST, keys.posting, store.now(), *arguments)
            if ids != _BOUNDED:
                return Posted(ids)
            self._remember(keys.queue)
        return self._post_bounded(queue, project, arguments, transient)

    def make_room(self, queue: str, project: Project) -> None:
        """Drop the first messages of a queue that exceeds its max length."""
        self._post_bounded(queue, project, (), transient=True)

    def _post_bounded(self, queue: str, project: Project, arguments: Sequence[Any], transient: bool) -> Posted:
        keys = self._store.keys(project, queue).dead_lettering
        script = _POST_BOUNDED_TRANSIENT if transient else _POST_BOUNDED
        reply = self._store.run_dead_lettering(script, keys, *arguments)
        if reply is None:
            return Posted(None)
        if reply == _FULL:
            raise QueueIsFull(queue, project)
        ids, is_too_long, has_dead, displaced = reply
        while is_too_long:
            # A long queue got a max length: to shorten it would take one script too long.
            reply = self._store.run_dead_lettering(_POST_BOUNDED_TRANSIENT, keys) or (b"", 0, 0, ())
            _, is_too_long, has_dead, _ = reply
        return Posted(ids, bool(has_dead), displaced)

    def _remember(self, queue: bytes) -> None:
        if len(self._bounded) >= _MAX_REMEMBERED:
            self._bounded.clear()
        self._bounded.add(queue)
