"""The counters of queues: each process adds up what it does, and the control store keeps the sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.model import Project

#: Additions to the counters of queues, by (project, queue, incarnation) and by the counter's name.
Increments: TypeAlias = "Mapping[tuple[Project, str, str], Mapping[str, int]]"


class Counter:
    """The names of counters. Each counts messages; the stores count nothing that they do by themselves."""

    #: Stored by a post, also as a dead letter or by a redrive.
    PUBLISHED = "published"
    #: Claimed, or popped; the same message once for each of its claims.
    DELIVERED = "delivered"
    #: Those of them that were claimed before.
    REDELIVERED = "redelivered"
    #: Deleted under the claim that held them, except by ``bulk_delete``; once for each ``delete``, also a repeated one.
    ACKED = "acked"
    #: Rejected without requeueing, whether or not the queue names a target for dead letters.
    REJECTED = "rejected"
    #: Free again as the process that had claimed them died.
    LOST_CLAIMS = "lost_claims"

    @staticmethod
    def dead_lettered(reason: str) -> str:
        """Return the name of the counter of messages that became dead letters elsewhere, for that reason."""
        return f"dead_lettered:{reason}"


class CounterMethods:
    """What a control store does with counters; one that keeps none need not override it."""

    def add_counters(self, increments: Increments) -> None:
        """Add to the counters of queues, with one call to the store.

        Those of a queue whose assignment is absent, DELETING or of another incarnation are dropped: its counters are
        deleted with it. Not repeatable: after a lost answer the caller does not know whether they were added.
        """

    def counters(
        self, queues: Sequence[tuple[Project, str]] | None = None
    ) -> Mapping[tuple[Project, str], Mapping[str, int]]:
        """Return the counters of these (project, queue), or of all queues; of those that have some.

        A counter that was never added to is absent. The sums begin with the queue's assignment, and go on while that is
        replaced; a process adds to them at most a second after the event.
        """
        return {}
