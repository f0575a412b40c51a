"""The steps of a queue's move to another pool.

Each step is one change in one store, and the assignment in the catalogue says which is next. A step that was made
already does nothing, so any process may make it, also two at once: docs/moving.md tells what happens when one dies.
"""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from kombu_pool import errors
from kombu_pool.model import ACTIVE, CREATING, MOVING
from kombu_pool.moves import COPYING, DRAINING, MOVED, PLANNED, Move, Tombstone
from kombu_pool.pooling.moving.assignments import ended, in_target, unnamed
from kombu_pool.pooling.moving.batches import copy_batches, moves_of
from kombu_pool.pooling.moving.preparation import open_prepared
from kombu_pool.storage import CONTROL_POOL, IDEMPOTENCY_WINDOW
from kombu_pool.storage.moving import new_incarnation, sealed_incarnation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.model import Assignment, Project
    from kombu_pool.pooling.open_pools import OpenPools
    from kombu_pool.storage import ControlDriver

logger = logging.getLogger(__name__)

#: Interval in which the process that moves a queue says that it lives, in seconds.
BEAT_INTERVAL = 2.0
_ID_BYTES = 6


class QueueMoves:
    """Makes the steps of moves.

    A step returns the assignment after it; None if another process has made a step meanwhile, or the queue is gone.
    """

    def __init__(
        self,
        control: ControlDriver,
        open_pools: OpenPools,
        clock: Clock,
        create: Callable[[str, Project, Assignment], bool],
        await_creation: Callable[[str, Project], None],
        invalidate: Callable[[str, Project], None],
    ) -> None:
        self._catalogue = control.catalogue_controller
        self._records = control.queue_controller
        self._open_pools = open_pools
        self._clock = clock
        self._create = create
        self._await_creation = await_creation
        self._invalidate = invalidate
        #: The moves that this object holds, by id and epoch: two processes of one epoch could store a batch twice.
        self._held: set[tuple[str, int]] = set()

    def all(self) -> Sequence[tuple[Project, str, Assignment]]:
        """Return (project, queue, assignment) of the queues with a move."""
        return self._catalogue.moves()

    def find(self, queue: str, project: Project = None) -> Assignment | None:
        """Return the queue's assignment if it has a move."""
        found = self._catalogue.find(project, queue)
        return found if found is not None and found.move is not None else None

    def plan(self, queue: str, project: Project, target: str, *, copies: bool, holder: str) -> Assignment:
        """Plan the move of a queue to another pool; the next steps make it.

        Raises:
            QueueDoesNotExist, PoolDoesNotExist: the queue, or the pool, does not exist.
            NotPermitted: it is in that pool, is moving already, or cannot be moved.
            PoolUnavailable: the target does not answer.
        """
        while True:
            found = self._catalogue.find(project, queue)
            if found is None or found.state not in (ACTIVE, MOVING) or not self._records.exists(queue, project):
                raise errors.QueueDoesNotExist(queue, project)
            self._check(queue, project, found, target)
            with self._open_pools.get(target) as pool:
                pool.queues.exists(queue, project)
            move = Move(
                id=secrets.token_hex(_ID_BYTES),
                source=found.pool,
                sealed=sealed_incarnation(),
                target=target,
                opened=new_incarnation(),
                copies=copies,
                phase=PLANNED,
                holder=holder,
                started=self._clock.time(),
                tombstones=() if found.move is None else found.move.tombstones,
            )
            if self._catalogue.replace(project, queue, found, found._replace(move=move)):
                self._held.add((move.id, move.epoch))
                logger.info("Queue %r is about to move from pool %s to pool %s", queue, move.source, move.target)
                return found._replace(move=move)

    def _check(self, queue: str, project: Project, found: Assignment, target: str) -> None:
        if found.move is not None and found.move.phase != MOVED:
            raise errors.NotPermitted(f"queue {queue!r} is moving to pool {found.move.target!r} already")
        if found.pool == target:
            raise errors.NotPermitted(f"queue {queue!r} is in pool {target!r} already")
        if CONTROL_POOL in (found.pool, target):
            raise errors.NotPermitted(f"queue {queue!r}: pool {CONTROL_POOL!r} takes and gives no queue")
        if self._catalogue.find_until(project, queue)[1] != float("inf"):
            raise errors.NotPermitted(
                f"queue {queue!r} is exclusive, or is deleted when it is unused: it goes with its consumers"
            )

    def take_over(
        self, queue: str, project: Project, found: Assignment, holder: str, *, copies: bool = False
    ) -> Assignment | None:
        """Let another process do the work of a move, and its last one no more; "": the next one that looks for work.

        ``copies``: what is left is copied, also if the move was begun to drain the source.
        """
        assert found.move is not None  # noqa: S101 - the caller has seen one
        copies = copies or found.move.copies
        move = replace(found.move, holder=holder, epoch=found.move.epoch + 1, beats=0, copies=copies)
        changed = self._changed(queue, project, found, found._replace(move=move))
        if changed is not None:
            self._held.add((move.id, move.epoch))
        if changed is not None and holder:
            last = found.move.holder or "none"
            logger.info("The move of queue %r to pool %s is continued; its last process: %s", queue, move.target, last)
        return changed

    def beat(self, queue: str, project: Project, found: Assignment) -> Assignment | None:
        """Say that the holder of a move lives, while a pool does not answer."""
        assert found.move is not None  # noqa: S101 - the caller has seen one
        return self._advanced(queue, project, found, 0, phase=found.move.phase)

    def step(self, queue: str, project: Project, found: Assignment) -> Assignment | None:
        """Make the next step of a move; return the same assignment if it takes more such steps.

        Raises:
            NotPermitted: messages are to be copied, and this object has neither planned nor taken over the move.
        """
        assert found.move is not None  # noqa: S101 - the caller has seen one
        if found.state == CREATING:
            self._await_creation(queue, project)
            return self.find(queue, project)
        if found.state not in (ACTIVE, MOVING):
            return None  # The queue is deleted: a step must not bring it back.
        if found.move.phase == PLANNED:
            return self.open_target(queue, project, found)
        if found.move.phase in (COPYING, DRAINING) and (found.move.id, found.move.epoch) not in self._held:
            raise errors.NotPermitted(f"another process moves queue {queue!r}: take the move over first")
        steps = {COPYING: self._copy, DRAINING: self._drain, MOVED: self._collect}
        return steps[found.move.phase](queue, project, found, found.move)

    def open_target(self, queue: str, project: Project, found: Assignment) -> Assignment | None:
        """Make the steps up to the one that opens the target; end the move if the target does not answer."""
        assert found.move is not None  # noqa: S101 - the caller has seen one
        try:
            if found.state == ACTIVE:
                return self._prepare(queue, project, found, found.move)
            return self._open_target(queue, project, found, found.move)
        except errors.QueueDoesNotExist:
            return None
        except (errors.PoolUnavailable, errors.NotPermitted) as error:
            if not isinstance(error, errors.PoolUnavailable) or error.pool == found.move.target:
                self.abort(queue, project, found)
            raise

    def abort(self, queue: str, project: Project, found: Assignment) -> bool:
        """End a move whose target is not open yet: the queue stays where it is; return whether it does.

        Raises:
            PoolUnavailable: the source is sealed, and does not answer.
        """
        move = found.move
        if move is None or move.phase != PLANNED:
            return False
        is_sealed = found.state != ACTIVE
        changed = ended(found, self._clock.time())
        if is_sealed and not self._seal(queue, project, found, move):
            return False
        if self._changed(queue, project, found, changed) is None:
            self._withdraw(queue, project, move)
            return False
        logger.warning("The move of queue %r has ended: it stays in pool %s", queue, move.source)
        if is_sealed:
            self._create(queue, project, changed)
        with suppress(errors.PoolUnavailable, errors.PoolDoesNotExist):
            if not all([self._is_emptied(queue, project, move.target, one) for one in in_target(move)]):  # noqa: C419 - each
                return True
            earlier = replace(move, phase=MOVED) if move.tombstones else None
            self._changed(queue, project, changed._replace(state=ACTIVE), changed._replace(state=ACTIVE, move=earlier))
        return True

    def end(self, queue: str, project: Project, found: Assignment) -> Assignment | None:
        """End a move whose target is open, and whose source is lost: what is left there is given up."""
        assert found.move is not None  # noqa: S101 - the caller has seen one
        ended = self._changed(queue, project, found, found._replace(move=replace(found.move, phase=MOVED)))
        if ended is not None:
            logger.warning("The move of queue %r has ended without what was left in pool %s", queue, found.move.source)
        return ended

    # The steps.

    def _prepare(self, queue: str, project: Project, found: Assignment, move: Move) -> Assignment | None:
        """Create the queue in the target, sealed: no process knows it yet, and no dead letter may be stored there."""
        metadata = self._records.get(queue, project)
        prepared, _ = in_target(move)
        source, target = self._open_pools.get(move.source), self._open_pools.get(move.target)
        with source, suppress(errors.QueueDoesNotExist):
            # Raises if the source cannot give messages away.
            moves_of(source).remaining(queue, project, incarnation=found.incarnation)
        try:
            with target:
                target.queues.create(queue, metadata, project, incarnation=prepared)
        except errors.IncarnationConflict as conflict:
            # Nothing names that queue any more, as long as the assignment stays: see QueueLives.
            if self._catalogue.find(project, queue) != found:
                return None
            with target, suppress(errors.IncarnationConflict):
                target.queues.create(queue, metadata, project, incarnation=prepared, replaces=conflict.current)
        with target, suppress(errors.QueueDoesNotExist, errors.MoveSuperseded):
            # Raises if the target cannot take messages: the source is sealed after this.
            moves_of(target).set_epoch(queue, project, incarnation=prepared, epoch=move.epoch)
        changed = self._changed(queue, project, found, found._replace(state=MOVING))
        if changed is None:
            self._withdraw(queue, project, move)
        return changed

    def _withdraw(self, queue: str, project: Project, move: Move) -> None:
        """Delete what a step of a move has created in the two pools after the queue was deleted, or the move over."""
        found = self._catalogue.find(project, queue)
        for name, incarnation in unnamed(move, found):
            with suppress(errors.PoolDoesNotExist), self._open_pools.get(name) as pool:
                pool.queues.delete(queue, project, incarnation=incarnation)

    def _open_target(self, queue: str, project: Project, found: Assignment, move: Move) -> Assignment | None:
        """Seal the source, and let the catalogue name the target."""
        if not self._seal(queue, project, found, move):
            return None
        try:
            self._give_settings(queue, project, move)
        except (errors.MoveSuperseded, errors.IncarnationConflict):
            self._withdraw(queue, project, move)
            return None
        except errors.QueueDoesNotExist:
            # One of the pools lost it, or the move is over.
            if not self.abort(queue, project, found):
                self._withdraw(queue, project, move)
            return None
        opened = replace(move, phase=COPYING if move.copies else DRAINING)
        changed = self._changed(
            queue, project, found, found._replace(pool=move.target, incarnation=move.opened, state=ACTIVE, move=opened)
        )
        if changed is None:
            self._withdraw(queue, project, move)
        return changed

    def _seal(self, queue: str, project: Project, found: Assignment, move: Move) -> bool:
        """Seal the source; return False if it bears another incarnation than that of the assignment, or is deleted."""
        try:
            metadata = self._records.get(queue, project)
            with self._open_pools.get(move.source) as source:
                source.queues.create(queue, metadata, project, incarnation=move.sealed, replaces=found.incarnation)
        except (errors.IncarnationConflict, errors.QueueDoesNotExist):
            return False
        return True

    def _give_settings(self, queue: str, project: Project, move: Move) -> None:
        """Give the target what the source has but messages, and open it."""
        source, target = self._open_pools.get(move.source), self._open_pools.get(move.target)
        with source:
            is_paused = "paused" in source.queues.stats(queue, project)
            subscriptions = source.subscriptions.export(queue, project)
        with target:
            if is_paused:
                target.queues.pause(queue, project)
            target.subscriptions.restore(queue, subscriptions, project)
            open_prepared(target, queue, project, self._records.get(queue, project), move)
            moves_of(target).set_epoch(queue, project, incarnation=move.opened, epoch=move.epoch)

    def _copy(self, queue: str, project: Project, found: Assignment, move: Move) -> Assignment | None:
        copied = self._copy_batches(queue, project, move, delayed=False)
        if copied is None:
            return None
        more, is_done = copied
        return self._advanced(queue, project, found, more, phase=DRAINING if is_done else COPYING)

    def _drain(self, queue: str, project: Project, found: Assignment, move: Move) -> Assignment | None:
        # Asked first: after a process has closed the target, no other one can copy, and none needs to.
        if not self._remaining(queue, project, move):
            return self._finish(queue, project, found, move)
        copied = self._copy_batches(queue, project, move, delayed=not move.copies)
        if copied is None:
            return None
        more, is_done = copied
        if self._remaining(queue, project, move):
            source = self._open_pools.get(move.source)
            if is_done and source.driver is not None:
                with source:
                    source.driver.dead_letter_all()
            return self._advanced(queue, project, found, more, phase=DRAINING)
        return self._finish(queue, project, found, replace(move, copied=move.copied + more))

    def _remaining(self, queue: str, project: Project, move: Move) -> int:
        try:
            with self._open_pools.get(move.source) as source:
                return moves_of(source).remaining(queue, project, incarnation=move.sealed)
        except errors.QueueDoesNotExist:
            return 0

    def _finish(self, queue: str, project: Project, found: Assignment, move: Move) -> Assignment | None:
        # No process holds the next epoch: none copies any more.
        closed = move.epoch + 1
        try:
            with self._open_pools.get(move.target) as target:
                moves_of(target).set_epoch(queue, project, incarnation=move.opened, epoch=closed)
        except (errors.MoveSuperseded, errors.QueueDoesNotExist):
            return None
        tombstones = (*move.tombstones, Tombstone(move.source, move.sealed, self._clock.time()))
        over = replace(move, phase=MOVED, epoch=closed, tombstones=tombstones)
        changed = self._changed(queue, project, found, found._replace(move=over))
        if changed is not None:
            self._held.discard((move.id, move.epoch))
            logger.info("Queue %r has moved from pool %s to pool %s", queue, move.source, move.target)
        return changed

    def _copy_batches(self, queue: str, project: Project, move: Move, *, delayed: bool) -> tuple[int, bool] | None:
        source, target = self._open_pools.get(move.source), self._open_pools.get(move.target)
        until = time.monotonic() + BEAT_INTERVAL
        return copy_batches(source, target, queue, project, move, delayed=delayed, until=until)

    def _advanced(
        self, queue: str, project: Project, found: Assignment, copied: int, *, phase: str
    ) -> Assignment | None:
        """Say that the process lives, and what it has copied."""
        assert found.move is not None  # noqa: S101 - the caller has seen one
        beats = found.move.beats + 1
        move = replace(found.move, phase=phase, copied=found.move.copied + copied, beats=beats)
        return self._changed(queue, project, found, found._replace(move=move))

    def _collect(self, queue: str, project: Project, found: Assignment, move: Move) -> Assignment | None:
        """Delete the sealed queues that no producer can ask for a post any more.

        A post that stalled for as long as the move lasted may be in the source yet, if a consumer has claimed its
        message there and died: then the move goes on.
        """
        kept = tuple(one for one in move.tombstones if not self._is_collected(queue, project, one))
        if kept == move.tombstones:
            return self._reopened(queue, project, found, move)
        return self._changed(
            queue, project, found, found._replace(move=replace(move, tombstones=kept) if kept else None)
        )

    def _is_collected(self, queue: str, project: Project, tombstone: Tombstone) -> bool:
        if self._clock.time() < tombstone.ended + IDEMPOTENCY_WINDOW:
            return False
        with suppress(errors.PoolDoesNotExist):
            return self._is_emptied(queue, project, tombstone.pool, tombstone.incarnation)
        return True

    def _is_emptied(self, queue: str, project: Project, name: str, incarnation: str) -> bool:
        """Delete what a pool has of a queue, unless that has messages, as dead letters that its store kept there."""
        with self._open_pools.get(name) as pool:
            # A store that cannot move queues has prepared one, which is sealed: it is empty.
            with suppress(errors.QueueDoesNotExist, errors.NotPermitted):
                if moves_of(pool).remaining(queue, project, incarnation=incarnation):
                    return False
            pool.queues.delete(queue, project, incarnation=incarnation)
        return True

    def _reopened(self, queue: str, project: Project, found: Assignment, move: Move) -> Assignment | None:
        last = move.tombstones[-1] if move.tombstones else None
        if last is None or last.incarnation != move.sealed or self._clock.time() < last.ended + IDEMPOTENCY_WINDOW:
            return found
        again = replace(move, phase=DRAINING, copies=True, epoch=move.epoch + 1, tombstones=move.tombstones[:-1])
        self._held.add((again.id, again.epoch))
        return self._changed(queue, project, found, found._replace(move=again))

    def _changed(self, queue: str, project: Project, found: Assignment, changed: Assignment) -> Assignment | None:
        try:
            if not self._catalogue.replace(project, queue, found, changed):
                return None
        finally:
            self._invalidate(queue, project)
        return changed
