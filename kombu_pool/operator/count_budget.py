"""Keeps a series of looks at the queues cheap, where a store counts the messages of a queue one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.model import Project, QueueCounts
    from kombu_pool.pooling.pool_handle import PoolHandle


class CountBudget:
    """Counts the queues with many messages in turn, a part of them in each look, and keeps the counts of the others.

    How many messages a look counts is the :attr:`~kombu_pool.storage.inspection.MessageInspection.counted_at_once` of
    each pool's store.
    """

    def __init__(self) -> None:
        #: By pool, the counts of its queues; those that were counted longest ago come first.
        self._kept: dict[str, dict[str, QueueCounts]] = {}

    def count(
        self, pool: PoolHandle, project: Project, queues: Sequence[str], limit: int
    ) -> Mapping[str, QueueCounts | None]:
        """Return the counts of the queues of a pool, up to ``limit``; of some of them those of an earlier look."""
        wanted = set(queues)
        kept = {queue: counts for queue, counts in self._kept.get(pool.name, {}).items() if queue in wanted}
        most = pool.messages.counted_at_once
        due = [*queues] if most is None else _due(queues, kept, most)
        found = pool.messages.count_many([(project, queue) for queue in due], limit)
        counted = dict(zip(due, found, strict=True))
        still = {queue: counts for queue, counts in kept.items() if queue not in counted}
        self._kept[pool.name] = {**still, **{queue: one for queue, one in counted.items() if one is not None}}
        return {**still, **counted}


def _due(queues: Sequence[str], kept: Mapping[str, QueueCounts], most: int) -> list[str]:
    """Return the queues to count: those that are new or short, and of the others as many as may be, in turn."""
    sizes = {queue: counts.free + counts.delayed + counts.claimed for queue, counts in kept.items()}
    if sum(sizes.values()) <= most:
        return [*queues]
    # The short queues together take a half at most.
    short = most // (2 * len(queues))
    due = [queue for queue in queues if sizes.get(queue, 0) <= short]
    left = most - sum(sizes.get(queue, 0) for queue in due)
    for queue, size in sizes.items():
        if size > short and left > 0:
            due.append(queue)
            left -= size
    return due
