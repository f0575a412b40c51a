"""Counts the messages of many queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.model import QueueCounts

if TYPE_CHECKING:
    from kombu_pool.drivers.memory.store import StoredQueue


def counts_of(queue: StoredQueue, now: float) -> QueueCounts:
    """Return the counts of an advanced queue."""
    backlog = queue.backlog
    free, claimed = backlog.count_free(), backlog.count_claimed()
    posted = min((message.created for message in backlog.free_messages()), default=None)
    age = None if posted is None else max(0.0, now - posted)
    delayed = len(backlog.messages) - free - claimed
    return QueueCounts(free, delayed, claimed, age, is_exact=True, paused=queue.paused)
