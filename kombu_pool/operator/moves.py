"""Moves of queues to other pools: begin, follow and end one, and list those that are not over."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError, NotPermitted, PoolUnavailable, QueueDoesNotExist
from kombu_pool.model import ACTIVE, MOVING
from kombu_pool.moves import MOVED, PLANNED
from kombu_pool.operator.queues import ask
from kombu_pool.pooling.moving.run import MoveRun
from kombu_pool.transport import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kombu_pool.model import Assignment, Project
    from kombu_pool.moves import Move
    from kombu_pool.pooling import DataDriver
    from kombu_pool.pooling.pool_handle import PoolHandle

#: What has become of a move that was followed.
DONE, LEFT, TAKEN_OVER, ENDED = "moved", "left", "taken over", "ended"
#: Shortest interval in which the source is asked what is left in it, in seconds.
_MEASURE_INTERVAL = 0.3


@dataclass(frozen=True)
class MoveRow:
    """A move that is not over.

    ``mode`` is "copy" or "drain". ``left`` counts the source's messages, ``held`` those of them that consumers hold;
    None: it does not answer. ``lives``: whether the process that does the work does; None: of another machine.
    """

    queue: str
    source: str
    target: str
    mode: str
    phase: str
    copied: int
    left: int | None
    held: int | None
    holder: str | None
    lives: bool | None
    since: float


@dataclass(frozen=True)
class MoveProgress:
    """How far a move is; ``outage``: why a pool does not answer. ``left`` and ``held`` are as in :class:`MoveRow`."""

    queue: str
    source: str
    target: str
    phase: str
    copied: int
    left: int | None
    held: int | None
    outage: str | None


@dataclass(frozen=True)
class MoveResult:
    """What has become of a move: "moved", "left" to other processes, "taken over" by one, or "ended" without effect."""

    queue: str
    source: str
    target: str
    result: str
    copied: int


def list_moves(store: DataDriver, project: Project, timeout: float | None = None) -> list[MoveRow]:
    """Return the moves of the project's queues that are not over, by queue."""
    found = {
        queue: assigned.move
        for of, queue, assigned in store.catalog.moves.all()
        if of == project and assigned.move is not None and _is_unfinished(assigned)
    }
    in_pool: dict[str, list[tuple[str, bool]]] = {}
    for queue, move in found.items():
        in_pool.setdefault(move.source, []).append((queue, move.phase == PLANNED))
    calls = {pool: partial(_measure_all, project=project, queues=queues) for pool, queues in in_pool.items()}
    answers = ask(store, calls, timeout)
    return [_row(queue, move, answers[move.source]) for queue, move in sorted(found.items())]


def _is_unfinished(found: Assignment) -> bool:
    return found.state in (ACTIVE, MOVING) and found.move is not None and found.move.phase != MOVED


def _measure_all(
    pool: PoolHandle, project: Project, queues: Sequence[tuple[str, bool]]
) -> dict[str, tuple[int | None, int | None]]:
    return {queue: _measure(pool, queue, project) for queue, _ in queues}


def _measure(pool: PoolHandle, queue: str, project: Project) -> tuple[int, int]:
    """Return how many messages a queue has in a pool, and how many of them are held."""
    try:
        with pool:
            messages = pool.queues.stats(queue, project)["messages"]
    except QueueDoesNotExist:
        return 0, 0
    return messages["total"], messages["claimed"]


def _row(queue: str, move: Move, answer: dict[str, tuple[int | None, int | None]] | KombuPoolError) -> MoveRow:
    left, held = (None, None) if isinstance(answer, KombuPoolError) else answer[queue]
    return MoveRow(
        queue, move.source, move.target, "copy" if move.copies else "drain", move.phase, move.copied, left, held,
        move.holder or None, _lives(move.holder), move.started,
    )  # fmt: skip


def _lives(holder: str) -> bool | None:
    if not holder or processes.is_dead(holder):
        return False
    of = processes.machine()
    return True if of and holder.startswith(f"{of}:") else None


# One move.


def unfinished_move(store: DataDriver, project: Project, queue: str) -> Move | None:
    """Return the move of a queue that is not over, if it has one."""
    found = store.catalog.moves.find(queue, project)
    return None if found is None or found.move is None or found.move.phase == MOVED else found.move


def start_move(
    store: DataDriver, project: Project, queue: str, target: str, *, copies: bool | None = None
) -> Assignment:
    """Move a queue as far as its new pool is open to producers; the workers do the rest. Raises as :func:`move`."""
    with _held(store, project, queue, target, copies) as run:
        while run.found is not None and run.found.move is not None and run.found.move.phase == PLANNED:
            if not run.step():
                break
            time.sleep(run.pause)
    return _present(store, project, queue)


def move(
    store: DataDriver,
    project: Project,
    queue: str,
    target: str,
    progress: Callable[[MoveProgress], bool | None],
    *,
    copies: bool | None = None,
) -> MoveResult:
    """Move a queue to another pool, or go on with its move there; return once no message of it is in the old one.

    ``copies``: its messages are copied, in order, and workers get nothing from the queue meanwhile; False: workers
    empty the old pool first. None is True, or as the move was begun. ``progress`` is called after each step, which
    takes at most a few seconds; if it returns True the rest is left to other processes.

    Raises:
        QueueDoesNotExist, PoolDoesNotExist: the queue, or the pool, does not exist.
        NotPermitted: it is in that pool, is moving to another one, or cannot be moved.
        PoolUnavailable: one of the pools does not answer; nothing was moved.
    """
    with _held(store, project, queue, target, copies) as run:
        return follow(store, project, queue, run, progress)


def abort_move(store: DataDriver, project: Project, queue: str) -> None:
    """End a move whose target is not open to producers; the queue stays where it is.

    Raises:
        QueueDoesNotExist: the queue does not exist.
        NotPermitted: it is not moving, or its target is open.
    """
    _present(store, project, queue)
    moves = store.catalog.moves
    found = moves.find(queue, project)
    if found is None or found.move is None or not _is_unfinished(found):
        raise NotPermitted(f"queue {queue!r} is not moving")
    if not moves.abort(queue, project, found):
        raise NotPermitted(
            f"queue {queue!r} is open in pool {found.move.target!r} already: let the move end, and move it back"
        )


def _present(store: DataDriver, project: Project, queue: str) -> Assignment:
    found = store.control.catalogue_controller.find(project, queue)
    if found is None or found.state not in (ACTIVE, MOVING):
        raise QueueDoesNotExist(queue, project)
    return found


@contextmanager
def _held(store: DataDriver, project: Project, queue: str, target: str, copies: bool | None) -> Iterator[MoveRun]:
    """Hold a move, and leave it to other processes at the end if it is not over."""
    owner = processes.new_owner_id()
    moves = store.catalog.moves
    try:
        run = MoveRun(moves, queue, project, _begin(store, project, queue, target, copies, owner))
        try:
            yield run
        except (PoolUnavailable, NotPermitted):
            if run.found is not None:
                with suppress(KombuPoolError):
                    moves.abort(queue, project, run.found)
            raise
        finally:
            with suppress(KombuPoolError):
                run.release()
    finally:
        processes.retire(owner)


def _begin(store: DataDriver, project: Project, queue: str, target: str, copies: bool | None, owner: str) -> Assignment:
    """Plan a move, or take over the one that the queue has."""
    moves = store.catalog.moves
    while True:
        found = moves.find(queue, project)
        if found is None or not _is_unfinished(found):
            return moves.plan(queue, project, target, copies=copies is not False, holder=owner)
        if found.move is not None and found.move.target != target:
            raise NotPermitted(
                f"queue {queue!r} is moving to pool {found.move.target!r}: let that move end, or end it with "
                f"celery pool move {queue} --abort"
            )
        taken = moves.take_over(queue, project, found, owner, copies=bool(copies))
        if taken is not None:
            return taken


def follow(
    store: DataDriver,
    project: Project,
    queue: str,
    run: MoveRun,
    progress: Callable[[MoveProgress], bool | None],
) -> MoveResult:
    """Make the steps of a move until it is over, or ``progress`` returns True."""
    assert run.found is not None and run.found.move is not None  # noqa: S101, PT018 - it has just begun
    last = run.found.move
    meter = _Meter(store, project, queue)
    is_left = False
    while not is_left and run.step():
        last = _move_of(run) or last
        left, held = meter.read(last, is_waiting=run.pause > 0)
        outage = None if run.outage is None else mask(str(run.outage))
        is_left = bool(
            progress(MoveProgress(queue, last.source, last.target, last.phase, last.copied, left, held, outage))
        )
        time.sleep(0 if is_left else run.pause)
    last = _move_of(run) or last
    result = LEFT if is_left else _result(store, project, queue, run, last)
    return MoveResult(queue, last.source, last.target, result, last.copied)


def _move_of(run: MoveRun) -> Move | None:
    return None if run.found is None else run.found.move


def _result(store: DataDriver, project: Project, queue: str, run: MoveRun, last: Move) -> str:
    if run.found is not None:
        return DONE
    found = store.catalog.moves.find(queue, project)
    if found is not None and found.move is not None and found.move.id == last.id:
        return DONE if found.move.phase == MOVED else TAKEN_OVER
    return ENDED


class _Meter:
    """Counts what is left in the source, not more often than is worth it."""

    def __init__(self, store: DataDriver, project: Project, queue: str) -> None:
        self._store = store
        self._project = project
        self._queue = queue
        self._read: tuple[int | None, int | None] = None, None
        self._next = 0.0

    def read(self, move: Move, *, is_waiting: bool) -> tuple[int | None, int | None]:
        """Return the source's messages, and those that are held; at once if the move is waiting for these."""
        begin = time.monotonic()
        if is_waiting or begin >= self._next:
            try:
                self._read = _measure(self._store.catalog.open_pools.get(move.source), self._queue, self._project)
            except KombuPoolError:
                self._read = None, None
            end = time.monotonic()
            self._next = end + max(_MEASURE_INTERVAL, 10 * (end - begin))
        return self._read
