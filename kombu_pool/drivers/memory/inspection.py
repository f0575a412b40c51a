"""Counts the messages of many queues, and lists the claims of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.model import QueueCounts
from kombu_pool.storage.inspection import LiveClaim, holder_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu_pool.drivers.memory.store import StoredQueue


def counts_of(queue: StoredQueue, now: float) -> QueueCounts:
    """Return the counts of an advanced queue."""
    backlog = queue.backlog
    free, claimed = backlog.count_free(), backlog.count_claimed()
    posted = min((message.created for message in backlog.free_messages()), default=None)
    age = None if posted is None else max(0.0, now - posted)
    delayed = len(backlog.messages) - free - claimed
    return QueueCounts(free, delayed, claimed, age, is_exact=True, paused=queue.paused)


def live_claims(queue: StoredQueue, now: float, limit: int) -> Iterator[LiveClaim]:
    """Yield the claims of an advanced queue, with ``limit`` messages at most."""
    left = limit
    for claim in queue.backlog.claims.values():
        if left < 1:
            return
        ids = [*claim.held][:left]
        left -= len(ids)
        tag = None if claim.holder is None else holder_tag(claim.holder)
        yield LiveClaim(claim.id, max(0, int(now - claim.since)), claim.ttl, ids, len(claim.held), tag)
