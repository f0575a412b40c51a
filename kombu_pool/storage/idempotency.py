"""The last post of each poster, by which one that is made again is known: for stores that a process has to itself."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from kombu_pool.storage.queue_metadata import IDEMPOTENCY_WINDOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import IdempotencyKey


class CompletedPost(NamedTuple):
    """A post that was made: its number, when, and the ids that its messages got."""

    number: int
    time: float
    ids: Sequence[str]


class IdempotencyCache:
    """What is remembered of the posters of some queues; one thread may use it at a time."""

    def __init__(self) -> None:
        # The last ones that posted, last.
        self._taken: OrderedDict[tuple[int, bytes], CompletedPost] = OrderedDict()

    def ids(self, idempotency_key: IdempotencyKey, queue: int = 0) -> Sequence[str] | None:
        """Return what this post returned when it was made; None: it was not."""
        taken = self._taken.get((queue, idempotency_key.producer))
        return None if taken is None or taken.number < idempotency_key.sequence else taken.ids

    def add(self, idempotency_key: IdempotencyKey, now: float, ids: Sequence[str], queue: int = 0) -> None:
        """Note that a post was made."""
        key = queue, idempotency_key.producer
        self._taken[key] = CompletedPost(idempotency_key.sequence, now, ids)
        self._taken.move_to_end(key)
        self.evict(now)

    def evict(self, now: float) -> int:
        """Forget those who have not posted for long; return how many they were."""
        gone = 0
        while self._taken and next(iter(self._taken.values())).time <= now - IDEMPOTENCY_WINDOW:
            self._taken.popitem(last=False)
            gone += 1
        return gone
