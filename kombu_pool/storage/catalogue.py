"""The contract of the catalogue: the pool of each queue, and the life that the queue has there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from kombu_pool.errors import NotPermitted, QueueNotMapped
from kombu_pool.model import DELETING, EXPIRED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import Assignment, CatalogueEntry, Expiry, Metadata, Project


class CatalogueController(ABC):
    """The pool of each queue. ``project`` is the first argument here, as in Zaqar."""

    @abstractmethod
    def list(self, project: Project) -> Sequence[CatalogueEntry]:
        """Return the project's entries, by queue."""

    def get(self, project: Project, queue: str) -> CatalogueEntry:
        """Return the queue's entry.

        Raises:
            QueueNotMapped: the queue is not assigned.
        """
        found = self.find(project, queue)
        if found is None or found.state in (DELETING, EXPIRED):
            raise QueueNotMapped(queue, project)
        return {"queue": queue, "project": project, "pool": found.pool}

    def exists(self, project: Project, queue: str) -> bool:
        """Return whether the queue is assigned."""
        try:
            self.get(project, queue)
        except QueueNotMapped:
            return False
        return True

    @abstractmethod
    def insert(self, project: Project, queue: str, pool: str) -> None:
        """Assign the queue, in place of any earlier assignment; the pool need not exist."""

    @abstractmethod
    def delete(self, project: Project, queue: str, *, incarnation: str | None = None) -> None:
        """Delete the queue's entry. Idempotent. With an ``incarnation`` only one that has it, and is DELETING."""

    def delete_many(self, queues: Sequence[tuple[Project, str, str]]) -> None:
        """Delete the entries of queues, each given as (project, name, incarnation), as :meth:`delete` does."""
        for project, queue, incarnation in queues:
            self.delete(project, queue, incarnation=incarnation)

    def update(self, project: Project, queue: str, pool: str | None = None) -> None:
        """Assign the queue to another pool.

        Raises:
            QueueNotMapped: the queue is not assigned.
            PoolDoesNotExist: the pool does not exist.
        """
        while True:
            found = self.find(project, queue)
            if found is None or found.state in (DELETING, EXPIRED):
                raise QueueNotMapped(queue, project)
            if pool is None or self.assign(project, queue, pool, replaces=found)[1]:
                return

    @abstractmethod
    def drop_all(self) -> None:
        """Delete every entry."""

    # Beyond Zaqar's contract: the life of a queue. Each step is atomic, and names the incarnation that it changes.

    def insert_if_absent(self, project: Project, queue: str, pool: str) -> str:
        """Assign the queue unless it is assigned already, in one step; return its pool.

        Raises:
            PoolDoesNotExist: the pool does not exist; nothing was written.
        """
        return self.assign(project, queue, pool)[0].pool

    def find(self, project: Project, queue: str) -> Assignment | None:
        """Return the queue's assignment in any state; None if it has none.

        The queue of one that is EXPIRED exists for no caller, though it and its record are stored yet.
        """
        return self.find_until(project, queue)[0]

    @abstractmethod
    def find_until(self, project: Project, queue: str) -> tuple[Assignment | None, float]:
        """Return what :meth:`find` does, and the time, by the driver's clock, before which the queue does not expire.

        The time is infinite for a queue without a lifetime, and for one whose lifetime does not count yet.
        """

    def find_many(self, queues: Sequence[tuple[Project, str]]) -> Sequence[Assignment | None]:
        """Return for each of the queues what :meth:`find` does."""
        return [self.find(project, queue) for project, queue in queues]

    @abstractmethod
    def assign(
        self, project: Project, queue: str, pool: str, *, replaces: Assignment | None = None, lease: float | None = None
    ) -> tuple[Assignment, bool]:
        """Assign the queue with a new incarnation; return the assignment, and True.

        If the queue has an assignment, nothing is changed and that is returned with False, unless it still equals
        ``replaces``, and is not DELETING. A record of the queue, its lifetime and its holders stay; a move does not.

        With a ``lease``, in seconds, the new one is CREATING, and a queue without a record expires after that time
        unless it becomes ACTIVE. Else it is RESERVED.

        Raises:
            PoolDoesNotExist: the pool does not exist; nothing was written.
        """

    @abstractmethod
    def activate(
        self,
        project: Project,
        queue: str,
        incarnation: str,
        metadata: Metadata | None = None,
        expiry: Expiry | None = None,
    ) -> bool:
        """Make a CREATING assignment ACTIVE; return False, without a change, if it has another incarnation or state.

        A queue without a record gets one with the ``metadata``, and its lifetime and first holder from ``expiry``.
        """

    @abstractmethod
    def begin_deletion(self, project: Project, queue: str, incarnation: str) -> bool:
        """Make the assignment DELETING, and delete the queue's record, lifetime and holders; a move of it stays.

        Returns False, without a change, if the assignment has another incarnation; True if it was DELETING already.
        """

    # Beyond Zaqar's contract: the move of a queue to another pool.

    def replace(self, project: Project, queue: str, found: Assignment, changed: Assignment) -> bool:
        """Replace the assignment if it still equals ``found``, and the queue has not expired; return whether so.

        The queue's record, lifetime, holders and counters stay. Each of :attr:`Assignment.pools` counts the queue as
        its own, so that the pool cannot be removed.

        Raises:
            PoolDoesNotExist: ``changed`` names a pool that does not exist, and ``found`` does not; nothing was changed.
            NotPermitted: the store cannot keep moves.
        """
        raise NotPermitted(f"queue {queue!r} cannot be moved: its control store does not support it")

    def moves(self, limit: int = 1000) -> Sequence[tuple[Project, str, Assignment]]:
        """Return (project, queue, assignment) of the queues with a move, in no order."""
        return ()

    def deletions(self, limit: int = 100) -> Sequence[tuple[Project, str, Assignment]]:
        """Return (project, queue, assignment) of queues that are DELETING; none where the store cannot find them."""
        return ()
