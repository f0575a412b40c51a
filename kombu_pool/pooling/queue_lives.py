"""The life of each queue over many pools: assigned, created in its pool, deleted there, forgotten.

One rule makes it safe however the steps of processes meet: a process creates in a pool only the incarnation that
it was given for that, before any other process can know it; and an incarnation in deletion is never used again. So a
process that stalls can neither bring a deleted queue back nor delete one of a later life.
"""

from __future__ import annotations

import logging
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from kombu_pool import errors
from kombu_pool.model import ACTIVE, CREATING, DELETING, EXPIRED, MOVING
from kombu_pool.pooling.moving.assignments import created_again, incarnations
from kombu_pool.pooling.moving.moves import QueueMoves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.model import Assignment, Expiry, Metadata, Project
    from kombu_pool.pooling.open_pools import OpenPools
    from kombu_pool.pooling.pool_handle import PoolHandle
    from kombu_pool.storage import ControlDriver

logger = logging.getLogger(__name__)

#: Time after which a queue that no process has gone on creating is deleted, in seconds.
CREATION_LEASE = 60.0
#: First and longest wait for the process that creates a queue, in seconds; then this one creates it. They only spare
#: work; each wait is twice as long as the one before, as processes that overtake each other would create nothing.
_CREATION_TIMEOUT, _LONGEST_CREATION_TIMEOUT = 0.1, 10.0
_CREATION_POLL = 0.002
#: First wait for the process that moves a queue, in seconds; then this one makes the steps that open the target.
_FIRST_WAIT = 0.1
#: Longest wait of a producer or a consumer for the target of a move, in seconds.
MOVE_TIMEOUT = 10.0


class QueueLives:
    """Creates, restores and deletes queues."""

    def __init__(
        self,
        control: ControlDriver,
        open_pools: OpenPools,
        assign: Callable[..., tuple[Assignment, bool]],
        open_pool: Callable[[str, Project, Assignment], PoolHandle],
        invalidate: Callable[[str, Project], None],
        clock: Clock,
    ) -> None:
        #: Moves queues to other pools.
        self.moves = QueueMoves(control, open_pools, clock, self._open_source, self._end_creation, invalidate)
        self._clock = clock
        self._open_pools = open_pools
        self._assign = assign
        self._open_pool = open_pool
        self._invalidate = invalidate
        self._catalogue = control.catalogue_controller
        self._consumers = control.consumers_controller
        self._records = control.queue_controller
        self._bindings = control.bindings_controller
        #: Called with the project and the exchanges that a deleted queue was bound to.
        self.on_unbound: Callable[[Project, Sequence[str]], None] = _ignore

    def create(
        self, queue: str, metadata: Metadata | None, project: Project, flavor: str | None, expiry: Expiry | None
    ) -> bool:
        """Create the queue, and return True; return False if it exists.

        Raises:
            FlavorDoesNotExist, NoPoolFound, PoolUnavailable: as :meth:`~kombu_pool.pooling.Catalog.register`.
        """
        expires = expiry is not None
        timeouts = _creation_timeouts()
        while True:
            found = self._await_creation(queue, project, next(timeouts))
            if found is not None and found.state == DELETING:
                self.end_deletion(project, queue, found)
                continue
            if found is not None and found.state == EXPIRED:
                self.expire(queue, project)
                continue
            has_record = self._records.exists(queue, project)
            if found is not None and found.state in (ACTIVE, MOVING) and self._open_pools.exists(found.pool):
                if has_record:
                    return False
                if self._catalogue.find(project, queue) != found:
                    continue  # A deletion removed both.
                # The control store lost the record, and gets it back.
            elif has_record:
                self._restore(queue, project, found)
                return False
            assigned, is_ours = self._assign_again(queue, project, found) or self._assign(
                queue, project, flavor, found, lease=CREATION_LEASE, expires=expires
            )
            if is_ours and self._create(queue, project, assigned, metadata, expiry):
                return True

    def current(self, queue: str, project: Project, refused: str | None) -> tuple[PoolHandle, str]:
        """Return the queue's pool and its incarnation, read from the catalogue.

        ``refused``: the incarnation that its pool does not know. If it is the present one, the pool lost the queue, and
        it is created again.

        Raises:
            QueueDoesNotExist: there is no such queue.
        """
        timeouts = _creation_timeouts()
        while True:
            found = self._await_creation(queue, project, next(timeouts))
            if found is None or found.state in (DELETING, EXPIRED):
                raise errors.QueueDoesNotExist(queue, project)
            if found.state == ACTIVE and found.incarnation != refused:
                self._invalidate(queue, project)
                return self._open_pool(queue, project, found), found.incarnation
            if found.state == MOVING:
                self._await_move(queue, project, found)
                continue
            if not self._records.exists(queue, project):
                raise errors.QueueDoesNotExist(queue, project)
            self._restore(queue, project, found)

    def delete(self, queue: str, project: Project, incarnation: str | None = None) -> None:
        """Delete the queue, or only that incarnation of it. Idempotent.

        What an unreachable pool holds of it is deleted when the pool answers.
        """
        while True:
            found = self._catalogue.find(project, queue)
            if incarnation is not None and (found is None or found.incarnation != incarnation):
                return
            if found is not None:
                if found.state == CREATING and not self._records.exists(queue, project):
                    return  # It does not exist yet, and its name is the creator's.
                if self._catalogue.begin_deletion(project, queue, found.incarnation):
                    self._end_begun_deletion(project, queue, found.incarnation)
                    return
            elif self._records.exists(queue, project):
                # The catalogue lost it. Without an assignment, its deletion could meet its next declaration.
                self._assign(queue, project, None, None)
            else:
                return

    def _end_begun_deletion(self, project: Project, queue: str, incarnation: str) -> None:
        """End the deletion of an incarnation, unless another process has."""
        self._invalidate(queue, project)
        # Read again: a move may have begun just before the deletion, and names another pool.
        found = self._catalogue.find(project, queue)
        if found is not None and (found.incarnation, found.state) == (incarnation, DELETING):
            self._try_to_end_deletion(project, queue, found)

    def reassign(self, queue: str, project: Project, pool: str) -> bool:
        """Create a queue in another pool, as its own has lost it for good; return False if it is gone.

        What the other pool has of it stays.

        Raises:
            PoolDoesNotExist, PoolUnavailable: the other pool does not exist, or does not answer.
        """
        while True:
            found = self._catalogue.find(project, queue)
            if found is None or found.state in (DELETING, EXPIRED):
                return False
            assigned, is_ours = self._catalogue.assign(project, queue, pool, replaces=found, lease=CREATION_LEASE)
            self._invalidate(queue, project)
            if not is_ours:
                continue
            with suppress(errors.QueueDoesNotExist):
                metadata = self._records.get(queue, project)
                return self._create(queue, project, assigned, metadata, None)
            return False

    def forget_deletions(self, pool: str) -> None:
        """End the deletions of queues in a pool that has lost them."""
        lost = [(project, queue, found) for project, queue, found in self._catalogue.deletions() if found.pool == pool]
        while lost:
            queues = [(project, queue, found.incarnation) for project, queue, found in lost]
            exchanges = self._bindings.unbind_queues(queues)
            self._catalogue.delete_many(queues)
            for project, names in exchanges.items():
                self.on_unbound(project, names)
            deletions = self._catalogue.deletions()
            lost = [each for each in deletions if each[2].pool == pool and each not in lost]

    def expire(self, queue: str, project: Project, *, unused: str | None = None) -> bool:
        """Delete the queue if it has expired, or if its incarnation ``unused`` has no consumer; return whether so."""
        if not self._consumers.expire(queue, project, unused=unused):
            return False
        found = self._catalogue.find(project, queue)
        if found is not None and found.state == DELETING:
            self._try_to_end_deletion(project, queue, found)
        return True

    def expire_many(self, queues: Sequence[tuple[Project, str]]) -> int:
        """Delete those of the queues that have expired; return their number."""
        expired = self._consumers.expire_many(queues)
        assignments = zip(expired, self._catalogue.find_many(expired), strict=True)
        self.end_deletions([(*scope, found) for scope, found in assignments if found and found.state == DELETING])
        return len(expired)

    def end_deletions(self, deletions: Sequence[tuple[Project, str, Assignment]] | None = None) -> None:
        """End the deletions that a dead process or an unreachable pool left unfinished; None: read which."""
        by_pool: dict[str, list[tuple[Project, str, str]]] = {}
        for project, queue, found in self._catalogue.deletions() if deletions is None else deletions:
            if found.move is None or self._try_to_leave(project, queue, found):
                by_pool.setdefault(found.pool, []).append((project, queue, found.incarnation))
        for pool, queues in by_pool.items():
            if deletions is None or not self._open_pools.peek(pool).is_resting():
                self._try_to_end_deletions(pool, queues)

    def _try_to_end_deletion(self, project: Project, queue: str, found: Assignment) -> None:
        """End a deletion, unless the pool does not answer."""
        if found.move is None or self._try_to_leave(project, queue, found):
            self._try_to_end_deletions(found.pool, [(project, queue, found.incarnation)])

    def _try_to_leave(self, project: Project, queue: str, found: Assignment) -> bool:
        """Delete what a move has in both pools of a deleted queue; return False if one of them does not answer."""
        try:
            self._leave(project, queue, found)
        except errors.PoolUnavailable as error:
            logger.info("The messages of the deleted queue %r are deleted later: %s", queue, error)
            return False
        return True

    def _leave(self, project: Project, queue: str, found: Assignment) -> None:
        for name, incarnation in incarnations(found):
            with suppress(errors.PoolDoesNotExist), self._open_pools.get(name) as pool:
                pool.queues.delete(queue, project, incarnation=incarnation)

    def _try_to_end_deletions(self, pool: str, queues: Sequence[tuple[Project, str, str]]) -> None:
        try:
            self._end_deletions(pool, queues)
        except errors.PoolUnavailable as error:
            logger.info("The messages of %d deleted queue(s) are deleted later: %s", len(queues), error)

    def end_deletion(self, project: Project, queue: str, found: Assignment) -> None:
        """Delete a queue that is DELETING from its pool, with its bindings, and then from the catalogue."""
        if found.move is not None:
            self._leave(project, queue, found)
        self._end_deletions(found.pool, [(project, queue, found.incarnation)])

    def _end_deletions(self, pool_name: str, queues: Sequence[tuple[Project, str, str]]) -> None:
        """Delete queues of one pool, each (project, name, incarnation), as :meth:`end_deletion` does."""
        for project, queue, _ in queues:
            self._invalidate(queue, project)
        with suppress(errors.PoolDoesNotExist), self._open_pools.get(pool_name) as pool:
            pool.queues.delete_many(queues)
        exchanges = self._bindings.unbind_queues(queues)
        self._catalogue.delete_many(queues)
        for project, names in exchanges.items():
            self.on_unbound(project, names)

    def _await_creation(self, queue: str, project: Project, timeout: float) -> Assignment | None:
        """Return the queue's assignment once no process creates the queue, or one did not within ``timeout``."""
        until = 0.0
        while True:
            found = self._catalogue.find(project, queue)
            if found is None or found.state != CREATING:
                return found
            now = time.monotonic()
            until = until or now + timeout
            if now >= until:
                return found
            time.sleep(_CREATION_POLL)

    def _await_move(self, queue: str, project: Project, found: Assignment) -> None:
        """Return once the queue is not sealed in its pool any more; make the steps that are left if no process does.

        Raises:
            PoolUnavailable: one of the two pools does not answer.
        """
        if not self._has_changed(queue, project, found, _FIRST_WAIT * random.uniform(1, 2)):  # noqa: S311 - no secret
            self._continue_move(queue, project, found)

    def _has_changed(self, queue: str, project: Project, found: Assignment, timeout: float) -> bool:
        until = time.monotonic() + timeout
        while self._is_present(queue, project, found):
            if time.monotonic() >= until:
                return False
            time.sleep(_CREATION_POLL)
        return True

    def _continue_move(self, queue: str, project: Project, found: Assignment) -> None:
        """Make the steps up to the one that opens the target; while the source does not answer, wait for it."""
        until = time.monotonic() + MOVE_TIMEOUT
        while True:
            try:
                self.moves.open_target(queue, project, found)
            except errors.PoolUnavailable:
                if time.monotonic() >= until or not self._is_present(queue, project, found):
                    raise
                time.sleep(_FIRST_WAIT)
            else:
                return

    def _is_present(self, queue: str, project: Project, found: Assignment) -> bool:
        return self._catalogue.find(project, queue) == found

    def _restore(self, queue: str, project: Project, found: Assignment | None) -> None:
        """Create a queue that has a record again in its pool, which lost it, or was never told of it."""
        with suppress(errors.QueueDoesNotExist):
            metadata = self._records.get(queue, project)
            assigned, is_ours = self._assign_again(queue, project, found) or self._assign(
                queue, project, None, found, lease=CREATION_LEASE
            )
            if is_ours and self._create(queue, project, assigned, metadata, None):
                logger.warning("Pool %s had lost queue %r; it was created again", assigned.pool, queue)

    def _open_source(self, queue: str, project: Project, assigned: Assignment) -> bool:
        """Open a queue again that a move has sealed; return False if a process is doing that, or the queue is gone."""
        try:
            return self._create(queue, project, assigned, self._records.get(queue, project), None)
        except errors.QueueDoesNotExist:
            return False

    def _end_creation(self, queue: str, project: Project) -> None:
        """Wait for the process that creates the queue in its pool, or create it."""
        with suppress(errors.QueueDoesNotExist):
            self.current(queue, project, None)

    def _assign_again(self, queue: str, project: Project, found: Assignment | None) -> tuple[Assignment, bool] | None:
        """Give a queue with a move another incarnation in its pool; return None if the queue has none."""
        if found is None or found.move is None or not self._open_pools.exists(found.pool):
            return None
        assigned = created_again(found, self._clock.time())
        return assigned, self._catalogue.replace(project, queue, found, assigned)

    def _create(
        self, queue: str, project: Project, assigned: Assignment, metadata: Metadata | None, expiry: Expiry | None
    ) -> bool:
        """Create the queue in its pool, and make its assignment active; return False if that was replaced meanwhile."""
        pool = self._open_pools.get(assigned.pool)
        if not self._create_in(pool, queue, project, assigned, metadata):
            return False
        if self._catalogue.activate(project, queue, assigned.incarnation, metadata, expiry):
            self._invalidate(queue, project)
            return True
        if assigned.move is None or not self._is_named(queue, project, assigned):
            with pool:
                pool.queues.delete(queue, project, incarnation=assigned.incarnation)
        return False

    def _is_named(self, queue: str, project: Project, assigned: Assignment) -> bool:
        """Return whether the present assignment names that one's incarnation, whose messages it takes over."""
        found = self._catalogue.find(project, queue)
        if found is None or found.move is None or found.state == DELETING:
            return False
        return (assigned.pool, assigned.incarnation) in incarnations(found)

    def _create_in(
        self, pool: PoolHandle, queue: str, project: Project, assigned: Assignment, metadata: Metadata | None
    ) -> bool:
        # The context of the pool is not that of the calls to the catalogue: an error of the control store is no outage.
        present: str | None = None
        while True:
            try:
                with pool:
                    return pool.queues.create(
                        queue, metadata, project, incarnation=assigned.incarnation, replaces=present
                    )
            except errors.IncarnationConflict as conflict:
                # Nothing names the queue in the pool any more, while the assignment is ours: it keeps its messages.
                if self._catalogue.find(project, queue) != assigned:
                    return False
                present = conflict.current


def _creation_timeouts() -> Iterator[float]:
    """Yield how long to wait for the process that creates a queue, in seconds."""
    timeout = _CREATION_TIMEOUT
    while True:
        yield timeout * random.uniform(1, 2)  # noqa: S311 - no secret
        timeout = min(2 * timeout, _LONGEST_CREATION_TIMEOUT)


def _ignore(project: Project, exchanges: Sequence[str]) -> None:
    """Do nothing."""
