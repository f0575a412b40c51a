"""How messages come into a queue, and how those go that have to make room for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import QueueIsFull

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import Project

_POST = script("post", awake=True)
_POST_STRICTLY = script("post_bounded", awake=True)
_BOUNDED = b"bounded"
_FULL = b"full"
#: Queues that are remembered to be strict.
_REMEMBERED = 10_000


class Poster:
    """Posts by the script that the queue needs: a strict one has a longest length, or buries what expires.

    Which queues are strict is found out by posting to them, and remembered: who is wrong pays with a round trip, or
    with a bit of the server's time once the queue is strict no more.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._strict: set[bytes] = set()

    def post(self, queue: str, project: Project, arguments: Sequence[Any]) -> tuple[bytes | None, bool]:
        """Store messages, behind their ticket, as the scripts want them.

        Returns:
            Their ids, joined, and whether something is to be buried. No ids, but None: there is no such queue.

        Raises:
            QueueIsFull: the queue refuses more than it has room for; none was stored.
        """
        store = self._store
        keys = store.keys(project, queue)
        if keys.queue not in self._strict:
            ids = store.link.call(_POST, keys.posting, store.now(), *arguments)
            if ids != _BOUNDED:
                return ids, False
            self._remember(keys.queue)
        return self._post_strictly(queue, project, arguments)

    def make_room(self, queue: str, project: Project) -> None:
        """Let the first messages in line go if the queue is too long."""
        self._post_strictly(queue, project, ())

    def _post_strictly(self, queue: str, project: Project, arguments: Sequence[Any]) -> tuple[bytes | None, bool]:
        keys = self._store.keys(project, queue).dead_lettering
        answer = self._store.run_mourning(_POST_STRICTLY, keys, *arguments)
        if answer is None:
            return None, False
        if answer == _FULL:
            raise QueueIsFull(queue, project)
        ids, is_too_long, to_bury = answer
        while is_too_long:
            # A longest length that is new to a long queue: no script may take as long as that takes.
            _, is_too_long, to_bury = self._store.run_mourning(_POST_STRICTLY, keys) or (b"", 0, 0)
        return ids, bool(to_bury)

    def _remember(self, queue: bytes) -> None:
        if len(self._strict) >= _REMEMBERED:
            self._strict.clear()
        self._strict.add(queue)
