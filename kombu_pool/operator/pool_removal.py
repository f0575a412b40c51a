"""Empties pools, so that they can be removed, and removes those whose store is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError, NotPermitted
from kombu_pool.model import ACTIVE, DELETING, EXPIRED, MOVING
from kombu_pool.moves import MOVED, PLANNED
from kombu_pool.operator import moves
from kombu_pool.operator.queues import ask
from kombu_pool.storage import CONTROL_POOL
from kombu_pool.storage.counters import Counter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kombu_pool.model import Assignment, Pool, Project
    from kombu_pool.operator.moves import MoveProgress, MoveResult
    from kombu_pool.pooling import DataDriver

    Progress = Callable[[MoveProgress], bool | None]


@dataclass(frozen=True)
class DrainResult:
    """What became of the queues of a pool: those that were moved, and why the others were not, by queue."""

    pool: str
    moved: list[MoveResult] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    removed: bool = False


@dataclass(frozen=True)
class LostQueue:
    """A queue of a pool that is removed with all that it holds, and the pool in which it lives on.

    ``messages``: how many it has, if ``known``; else how many it had by its counters, which do not count those that
    expired or were purged.
    """

    queue: str
    to: str
    messages: int
    known: bool


# A pool that answers.


def drain_pool(
    store: DataDriver, project: Project, name: str, progress: Progress, *, parallel: int = 2, removes: bool = False
) -> DrainResult:
    """Give a pool no new queues, and move those of the project to other pools, some of them at once.

    Each goes where a new queue would: to a pool of the same flavor, by weight. ``removes``: the pool is removed then.
    If ``progress`` returns True the moves that have begun are left to other processes, and no other one begins.

    Raises:
        PoolDoesNotExist: there is no such pool.
        NotPermitted: no other pool of its flavor takes new queues; nothing was changed.
        PoolInUse, PoolInUseByFlavor, PoolIsReserved: it was to be removed, and cannot be.
    """
    row = store.control.pools_controller.get(name, detailed=True)
    require_another(store, row)
    if row["weight"]:
        store.control.pools_controller.update(name, weight=0)
    result = DrainResult(name)
    stopped: list[bool] = []

    def report(now: MoveProgress) -> bool:
        if progress(now):
            stopped.append(True)
        return bool(stopped)

    tried: set[str] = set()
    # Again and again: a queue may have been declared meanwhile.
    while not stopped and (queues := [queue for queue in queues_in(store, project, name) if queue not in tried]):
        tried.update(queues)
        calls = {queue: partial(_move_away, store, project, queue, row, report, stopped) for queue in queues}
        _run(calls, parallel, result)
    if not removes or stopped or result.left:
        return result
    store.control.pools_controller.delete(name)
    return DrainResult(name, result.moved, result.left, removed=True)


def require_another(store: DataDriver, row: Pool) -> None:
    """Raise NotPermitted unless another pool of the flavor takes new queues."""
    if row["name"] == CONTROL_POOL:
        raise NotPermitted(f"Pool {CONTROL_POOL!r} has control queues, which go with their processes")
    flavor = row["flavor"]
    if not _others(store, row):
        which = f"of flavor {flavor!r}" if flavor else "without a flavor"
        raise NotPermitted(f"No other pool {which} takes new queues: add one, or give one a weight above 0")


def _others(store: DataDriver, row: Pool) -> list[Pool]:
    """Return the other pools of the flavor that take new queues."""
    rows = store.catalog.rows()
    same = [other for other in rows if other["name"] != row["name"] and other["flavor"] == row["flavor"]]
    return [other for other in same if other["weight"] > 0]


def queues_in(store: DataDriver, project: Project, name: str) -> list[str]:
    """Return the queues that are in a pool, or on their way out of it, or into it."""
    entries = store.control.catalogue_controller.list(project)
    found = {entry["queue"] for entry in entries if entry["pool"] == name}
    moving = {queue for of, queue, assigned in store.catalog.moves.all() if of == project and name in assigned.pools}
    return sorted(found | moving)


def _run(calls: Mapping[str, Callable[[], MoveResult | None]], parallel: int, result: DrainResult) -> None:
    """Make calls, some at once; keep what became of each queue."""
    with ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="kombu_pool-drain") as executor:
        futures = {queue: executor.submit(call) for queue, call in calls.items()}
        for queue, future in futures.items():
            try:
                done = future.result()
            except KombuPoolError as error:
                result.left[queue] = mask(str(error))
                continue
            if done is None:
                result.left[queue] = "it was not begun"
            elif done.result == moves.DONE:
                result.moved.append(done)
            elif done.result != moves.ENDED:
                result.left[queue] = f"its move is {done.result}"


def _move_away(
    store: DataDriver, project: Project, queue: str, row: Pool, progress: Progress, stopped: Sequence[bool]
) -> MoveResult | None:
    """Move a queue out of a pool, after the move that it may have begun; None: not begun."""
    if stopped:
        return None
    found = store.catalog.moves.find(queue, project)
    if found is not None and found.move is not None and found.move.phase != MOVED:
        done = moves.move(store, project, queue, found.move.target, progress)
        if done.result != moves.DONE or done.target != row["name"]:
            return done
    target = store.catalog.choice.choose(queue, project, row["flavor"], expires=False)
    return moves.move(store, project, queue, target, progress)


def move_all(
    store: DataDriver, project: Project, targets: Mapping[str, str], progress: Progress, *, parallel: int = 2
) -> DrainResult:
    """Move queues, each to the pool that is given for it, some of them at once, as :func:`drain_pool` does."""
    result = DrainResult("")
    stopped: list[bool] = []

    def report(now: MoveProgress) -> bool:
        if progress(now):
            stopped.append(True)
        return bool(stopped)

    def call(queue: str) -> MoveResult | None:
        return None if stopped else moves.move(store, project, queue, targets[queue], report)

    _run({queue: partial(call, queue) for queue in targets}, parallel, result)
    return result


# A pool whose store is lost.


def lost_queues(store: DataDriver, project: Project, name: str, timeout: float | None = None) -> list[LostQueue]:
    """Return the project's queues in a pool, with what is known of their messages, and where they would live on.

    Raises:
        PoolDoesNotExist: there is no such pool.
        NotPermitted: no other pool of its flavor takes new queues.
    """
    row = store.control.pools_controller.get(name, detailed=True)
    queues = queues_in(store, project, name)
    if not queues:
        return []
    scopes = [(project, queue) for queue in queues]
    answer = ask(store, {name: lambda pool: pool.messages.count_many(scopes)}, timeout)[name]
    sums = store.control.counters(scopes)
    found = []
    for number, queue in enumerate(queues):
        counts = None if isinstance(answer, KombuPoolError) else answer[number]
        present = 0 if counts is None else counts.free + counts.delayed + counts.claimed
        known = not isinstance(answer, KombuPoolError)
        messages = present if known else _last_count(sums.get((project, queue), {}))
        found.append(LostQueue(queue, _refuge(store, project, queue, row), messages, known))
    return found


def _last_count(sums: Mapping[str, int]) -> int:
    """Return how many messages a queue had by its counters."""
    gone = (Counter.ACKED, Counter.REJECTED)
    out = sum(count for counter, count in sums.items() if counter in gone or counter.startswith("dead_lettered:"))
    return max(0, sums.get(Counter.PUBLISHED, 0) - out)


def _refuge(store: DataDriver, project: Project, queue: str, row: Pool) -> str:
    """Return the pool in which a queue of a lost one lives on."""
    found = store.control.catalogue_controller.find(project, queue)
    move = None if found is None else found.move
    if move is not None and move.phase != MOVED:
        return move.target if move.source == row["name"] else move.source
    require_another(store, row)
    return store.catalog.choice.choose_answering(_others(store, row), queue, project)


def remove_lost_pool(store: DataDriver, project: Project, name: str, queues: Sequence[LostQueue]) -> None:
    """Remove a pool with all that its store holds; the queues live on, empty, in other pools.

    Raises:
        PoolInUse: queues of other projects are in it. Those of the project live on already.
        PoolInUseByFlavor, PoolIsReserved: it cannot be removed.
    """
    for lost in queues:
        found = store.control.catalogue_controller.find(project, lost.queue)
        if found is not None and name in found.pools:
            _give_refuge(store, project, lost, found, name)
    store.catalog.lives.forget_deletions(name)
    store.control.pools_controller.delete(name)


def _give_refuge(store: DataDriver, project: Project, lost: LostQueue, found: Assignment, name: str) -> None:
    move = found.move
    if found.state in (DELETING, EXPIRED):
        return
    if move is not None and found.state in (ACTIVE, MOVING) and move.phase == PLANNED and move.target == name:
        store.catalog.moves.abort(lost.queue, project, found)
    elif found.pool != name and found.state == ACTIVE:
        store.catalog.moves.end(lost.queue, project, found)
    else:
        store.catalog.lives.reassign(lost.queue, project, lost.to)
