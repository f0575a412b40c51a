"""The posts of this process whose answer was lost: asked for in the pool that they went to, if the queue has moved.

A pool recognizes the retry of a post that it stored, but no other pool does.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from kombu_pool import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import IdempotencyKey, Project
    from kombu_pool.pooling.open_pools import OpenPools

#: Most posts without an answer that are kept; the oldest are forgotten first.
_MAX_POSTS = 10_000


class _Post(NamedTuple):
    sequence: int
    pool: str


#: The last post without an answer by control store, project, queue and producer: an object of one connection may make
#: the post, and one of the next connection its retry.
_posts: OrderedDict[tuple[str, Project, str, bytes], _Post] = OrderedDict()


class UnansweredPosts:
    """The posts of all catalogs of a control store in this process."""

    def __init__(self, control_uri: str, open_pools: OpenPools) -> None:
        self._control_uri = control_uri
        self._open_pools = open_pools

    def add(self, pool: str, queue: str, project: Project, key: IdempotencyKey) -> None:
        """Remember a post to a pool."""
        _posts[self._control_uri, project, queue, key.producer] = _Post(key.sequence, pool)
        while len(_posts) > _MAX_POSTS:
            _posts.popitem(last=False)

    def ids(self, pool: str, queue: str, project: Project, key: IdempotencyKey | None) -> Sequence[str] | None:
        """Return the ids of a post that another pool than this one stored before; None if none did.

        Raises:
            PoolUnavailable: that pool does not answer.
        """
        if key is None or not _posts:
            return None
        post = _posts.get((self._control_uri, project, queue, key.producer))
        if post is None or post.sequence != key.sequence or post.pool == pool:
            return None
        try:
            with self._open_pools.get(post.pool) as asked:
                assert asked.driver is not None  # noqa: S101 - OpenPools.get() opens it or raises
                return asked.driver.move_controller.completed_post(queue, key, project)
        except errors.PoolDoesNotExist:
            return None
