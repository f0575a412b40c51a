"""Continues the moves of queues whose process died or stopped, and deletes what moves left in the pools."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from kombu_pool.errors import KombuPoolError
from kombu_pool.model import ACTIVE, MOVING
from kombu_pool.moves import MOVED
from kombu_pool.pooling.moving.run import MoveRun
from kombu_pool.storage import IDEMPOTENCY_WINDOW
from kombu_pool.transport import processes, threads
from kombu_pool.transport.threads import Flag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import Assignment, Project
    from kombu_pool.moves import Move
    from kombu_pool.pooling import DataDriver

logger = logging.getLogger(__name__)

#: Time without a beat after which a move's holder counts as stopped, in seconds of this process's monotonic clock.
LEASE: Final = 10.0
#: Interval in which the moves are read while there are some, in seconds.
LOOK_INTERVAL: Final = 1.5
#: Share of the time that reading them may take.
_LOOK_SHARE: Final = 0.01
#: Time of a round of steps from which this process takes no more moves over, in seconds: its beats would be late.
_LONG_ROUND: Final = LEASE / 2
#: Interval in which sealed queues that are not needed any more are deleted, in seconds.
COLLECT_INTERVAL: Final = 30.0


class _Beat(NamedTuple):
    """The last sign of life of a move's holder, and when this process saw it first."""

    epoch: int
    beats: int
    seen: float


class MoveUpkeep:
    """A daemon thread of a consuming process, which runs while the catalogue has moves, and makes one step at a time.

    A holder of this machine counts as dead once the system says so, any other one after :data:`LEASE` without a beat.
    """

    def __init__(self, data: DataDriver) -> None:
        self._catalog = data.catalog
        self._moves = data.catalog.moves
        self._owner = ""
        self._runs: dict[str, MoveRun] = {}
        self._beats: dict[str, _Beat] = {}
        self._looks_at = self._collects_at = 0.0
        self._round = 0.0
        self._stop = Flag()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the thread, unless it runs: the catalogue has moves."""
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threads.started(self._run, "moves")

    def close(self) -> None:
        """End the thread, and leave its moves to other processes."""
        self._stop.set()
        threads.join(self._thread, timeout=5.0)

    def _run(self) -> None:
        self._owner, self._looks_at = processes.new_owner_id(), 0.0
        try:
            while not self._stop.wait(self._pause()):
                if not self._try_round():
                    break
        finally:
            self._release()
            processes.retire(self._owner)
            with self._lock:
                self._thread = None

    def _try_round(self) -> bool:
        try:
            return self.run_once()
        except KombuPoolError as error:
            logger.info("Moves of queues wait for the store: %s", error)
        except Exception:
            logger.exception("Moves of queues failed; retrying in %g s", LOOK_INTERVAL)
        self._looks_at = time.monotonic() + LOOK_INTERVAL
        return True

    def _pause(self) -> float:
        """Return how long the thread may wait."""
        wait = max(0.0, self._looks_at - time.monotonic())
        return min([wait, *(run.pause for run in self._runs.values())])

    def run_once(self) -> bool:
        """Look for moves if it is time, and make a step of each that this process holds; return whether there are any.

        Raises:
            ConnectionError: the control store does not answer.
        """
        found = True
        if time.monotonic() >= self._looks_at:
            found = self._look()
        begin = time.monotonic()
        for move_id, run in list(self._runs.items()):
            if self._stop.is_set():
                break
            if not self._step(run):
                del self._runs[move_id]
        self._round = time.monotonic() - begin
        return found

    def _step(self, run: MoveRun) -> bool:
        was_out = run.outage
        try:
            is_unfinished = run.step()
        except KombuPoolError as error:
            logger.warning("A move of a queue is left: %s", error)
            return False
        if run.outage is not None and was_out is None:
            logger.info("A move of a queue waits: %s", run.outage)
        return is_unfinished

    # Looking.

    def _look(self) -> bool:
        begin = time.monotonic()
        moves = self._moves.all()
        now = time.monotonic()
        self._looks_at = now + max(LOOK_INTERVAL, (now - begin) / _LOOK_SHARE)
        self._take_over([each for each in moves if not _is_over(each[2])], now)
        if now >= self._collects_at:
            self._collects_at = now + COLLECT_INTERVAL
            self._collect([each for each in moves if _is_over(each[2])])
        return bool(moves)

    def _take_over(self, moves: Sequence[tuple[Project, str, Assignment]], now: float) -> None:
        present = {found.move.id for _, _, found in moves if found.move is not None}
        self._beats = {move_id: beat for move_id, beat in self._beats.items() if move_id in present}
        for project, queue, found in moves:
            move = found.move
            if move is None or move.id in self._runs or not self._is_left(move, now) or self._round >= _LONG_ROUND:
                continue
            taken = self._moves.take_over(queue, project, found, self._owner)
            if taken is not None:
                self._runs[move.id] = MoveRun(self._moves, queue, project, taken)

    def _is_left(self, move: Move, now: float) -> bool:
        """Return whether no process does the work of a move."""
        if not move.holder or processes.is_dead(move.holder):
            return True
        beat = self._beats.get(move.id)
        if beat is None or (beat.epoch, beat.beats) != (move.epoch, move.beats):
            self._beats[move.id] = beat = _Beat(move.epoch, move.beats, now)
        return now - beat.seen >= LEASE

    def _collect(self, moved: Sequence[tuple[Project, str, Assignment]]) -> None:
        """Delete the sealed queues that no producer asks for a post any more."""
        before = self._catalog.now() - IDEMPOTENCY_WINDOW
        for project, queue, found in moved:
            ends = [tombstone.ended for tombstone in found.move.tombstones] if found.move is not None else []
            if ends and min(ends) > before:
                continue
            try:
                self._moves.step(queue, project, found)
            except KombuPoolError as error:
                logger.info("What a move left of queue %r is deleted later: %s", queue, error)

    def _release(self) -> None:
        for run in self._runs.values():
            try:
                run.release()
            except KombuPoolError as error:
                logger.info("A move of a queue is continued after %g s: %s", LEASE, error)
        self._runs.clear()


def _is_over(found: Assignment) -> bool:
    return found.move is None or found.move.phase == MOVED or found.state not in (ACTIVE, MOVING)
