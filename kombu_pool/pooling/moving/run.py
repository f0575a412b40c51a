"""The work of the process that holds a move: one step after the other, until another process has it, or it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool import errors
from kombu_pool.model import ACTIVE, MOVING
from kombu_pool.moves import MOVED, PLANNED

if TYPE_CHECKING:
    from kombu_pool.model import Assignment, Project
    from kombu_pool.pooling.moving.moves import QueueMoves

#: First and longest pause after a step that had nothing to do, in seconds.
FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0


class MoveRun:
    """Makes the steps of a move. Each takes at most a few seconds."""

    def __init__(self, moves: QueueMoves, queue: str, project: Project, found: Assignment) -> None:
        #: The assignment after the last step; None: the move was ended, or another process has it.
        self.found: Assignment | None = found
        #: Why a pool does not answer, if the last step was not made for that reason.
        self.outage: errors.PoolUnavailable | None = None
        #: How long the next step can wait, in seconds.
        self.pause = 0.0
        self._moves = moves
        self._queue = queue
        self._project = project

    def step(self) -> bool:
        """Make the next step; return whether this process has more to make.

        Once the target is open, a pool that does not answer is asked again by the next step.

        Raises:
            PoolUnavailable, NotPermitted: the target cannot be opened; the move was ended if the target is at fault.
        """
        before = self.found
        if before is None:
            return False
        self.outage = None
        after: Assignment | None = None
        try:
            after = self._moves.step(self._queue, self._project, before)
        except errors.QueueDoesNotExist:
            pass  # It was deleted.
        except errors.PoolUnavailable as error:
            if before.move is None or before.move.phase == PLANNED:
                raise
            self.outage = error
            after = self._moves.beat(self._queue, self._project, before)
        self.pause = 0.0 if _is_progress(before, after) else min(max(2 * self.pause, FIRST_PAUSE), LAST_PAUSE)
        self.found = self._reread(before) if after is None else after
        return self.found is not None and not _is_over(self.found)

    def release(self) -> None:
        """Leave a move that is not over to the next process that looks for one."""
        if self.found is not None and not _is_over(self.found):
            self._moves.take_over(self._queue, self._project, self.found, "")
            self.found = None

    def _reread(self, before: Assignment) -> Assignment | None:
        """Return the assignment if another process made a step for this one; None if it has taken the move over."""
        found = self._moves.find(self._queue, self._project)
        if found is None or found.move is None or before.move is None or found.state not in (ACTIVE, MOVING):
            return None
        return found if (found.move.id, found.move.epoch) == (before.move.id, before.move.epoch) else None


def _is_over(found: Assignment) -> bool:
    return found.move is None or found.move.phase == MOVED


def _is_progress(before: Assignment, after: Assignment | None) -> bool:
    if after is None or after.move is None or before.move is None:
        return False
    changed = after.state, after.move.phase, after.move.copied
    return changed != (before.state, before.move.phase, before.move.copied)
