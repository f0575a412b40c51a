"""The idempotency keys of a producer's posts, and a cache by which a store within one process recognises a retry."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING

from msgspec import Struct

from kombu_pool.model import IdempotencyKey
from kombu_pool.storage.queue_metadata import IDEMPOTENCY_WINDOW

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


class ProducerSequence:
    """The producer id and sequence numbers of one post at a time.

    With an unconfirmed post it makes no other one, for a store remembers only the last post of a producer.
    """

    __slots__ = ("_producer", "last")

    def __init__(self) -> None:
        self._producer = os.urandom(12)
        #: The sequence number of the last post.
        self.last = 0

    def next_key(self) -> IdempotencyKey:
        """Return the key of another post."""
        self.last += 1
        return IdempotencyKey(self._producer, self.last)

    def last_key(self) -> IdempotencyKey:
        """Return the key of the last post."""
        return IdempotencyKey(self._producer, self.last)


class CompletedPost(Struct, frozen=True):
    """A stored post: its sequence number, its time, and the ids of its messages."""

    sequence: int
    time: float
    ids: Sequence[str]


class IdempotencyCache:
    """The completed posts of some queues; not thread-safe."""

    def __init__(self) -> None:
        # Ordered by time, the most recent last.
        self._posts: OrderedDict[tuple[Hashable, bytes], CompletedPost] = OrderedDict()

    def ids(self, idempotency_key: IdempotencyKey, queue: Hashable = 0) -> Sequence[str] | None:
        """Return the ids that this post got, None if it was not made."""
        post = self._posts.get((queue, idempotency_key.producer))
        return None if post is None or post.sequence < idempotency_key.sequence else post.ids

    def add(self, idempotency_key: IdempotencyKey, now: float, ids: Sequence[str], queue: Hashable = 0) -> None:
        """Record a completed post, in place of the producer's last one."""
        key = queue, idempotency_key.producer
        self._posts[key] = CompletedPost(idempotency_key.sequence, now, ids)
        self._posts.move_to_end(key)
        self.evict(now)

    def evict(self, now: float) -> int:
        """Remove the posts that are older than the idempotency window; return their number."""
        evicted = 0
        while self._posts and next(iter(self._posts.values())).time <= now - IDEMPOTENCY_WINDOW:
            self._posts.popitem(last=False)
            evicted += 1
        return evicted
