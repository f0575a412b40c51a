"""Moves a few queues, so that pools have messages and traffic in proportion to their weights."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kombu_pool.operator import rates
from kombu_pool.storage import CONTROL_POOL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.model import Pool, Project
    from kombu_pool.operator.queues import QueueRow
    from kombu_pool.pooling import DataDriver

#: Least share of all load that a move must bring nearer to where it belongs.
MIN_GAIN = 0.02
#: Time in which the rates of queues are measured, in seconds.
RATE_PERIOD = 2.0
#: Most moves of one plan.
_MAX_MOVES = 100


@dataclass(frozen=True)
class PlannedMove:
    """A queue, the pools that it moves between, and its messages and rates at the time of the plan."""

    queue: str
    source: str
    target: str
    messages: int
    rate: float


@dataclass(frozen=True)
class PoolLoad:
    """The share of a pool of what the pools of its flavor hold and pass on: by its weight, now, and after the moves."""

    pool: str
    flavor: str | None
    weight: int
    share: float
    now: float
    after: float


@dataclass(frozen=True)
class RebalancePlan:
    """The moves, and the loads of the pools that they change or leave."""

    moves: list[PlannedMove] = field(default_factory=list)
    pools: list[PoolLoad] = field(default_factory=list)


def plan_rebalance(store: DataDriver, project: Project, period: float = RATE_PERIOD) -> RebalancePlan:
    """Return few moves that bring the pools of each flavor nearer to their weights.

    The load of a queue is its share of the messages and of what goes in and out within ``period`` seconds, each of the
    same worth. Pools without a weight, or that do not answer, are left as they are, and so are queues that cannot move.
    """
    before = rates.look(store, project)
    time.sleep(period)
    rows = rates.compared(before, rates.look(store, project)).queues
    plan = RebalancePlan()
    by_flavor: dict[str | None, list[Pool]] = {}
    for pool in store.catalog.rows():
        if pool["weight"] > 0 and pool["name"] != CONTROL_POOL:
            by_flavor.setdefault(pool["flavor"], []).append(pool)
    for pools in by_flavor.values():
        down = {row.pool for row in rows if row.total is None}
        present = [pool for pool in pools if pool["name"] not in down]
        _plan(plan, present, [row for row in rows if row.pool in {pool["name"] for pool in present}], store, project)
    return plan


def _plan(
    plan: RebalancePlan, pools: Sequence[Pool], rows: Sequence[QueueRow], store: DataDriver, project: Project
) -> None:
    loads = _loads(rows)
    weights = sum(pool["weight"] for pool in pools)
    shares = {pool["name"]: pool["weight"] / weights for pool in pools}
    now = {name: sum(loads[row.queue] for row in rows if row.pool == name) for name in shares}
    after = dict(now)
    movable = {row.queue: row for row in rows if _is_movable(store, project, row.queue)}
    while len(plan.moves) < _MAX_MOVES and len(shares) > 1:
        move = _best(movable.values(), loads, shares, after)
        if move is None:
            break
        row = movable.pop(move[0])
        after[row.pool] -= loads[row.queue]
        after[move[1]] += loads[row.queue]
        plan.moves.append(PlannedMove(row.queue, row.pool, move[1], row.total or 0, _rate(row)))
    for pool in pools:
        name = pool["name"]
        figures = (round(value, 3) for value in (shares[name], now[name], after[name]))
        plan.pools.append(PoolLoad(name, pool["flavor"], pool["weight"], *figures))


def _loads(rows: Sequence[QueueRow]) -> dict[str, float]:
    """Return the load of each queue; their sum is 1."""
    parts = [[float(row.total or 0) for row in rows], [_rate(row) for row in rows]]
    known = [part for part in parts if sum(part)] or [[1.0] * len(rows)]
    return {row.queue: sum(part[number] / sum(part) for part in known) / len(known) for number, row in enumerate(rows)}


def _rate(row: QueueRow) -> float:
    return (row.rate_in or 0.0) + (row.rate_out or 0.0)


def _is_movable(store: DataDriver, project: Project, queue: str) -> bool:
    found, expires = store.control.catalogue_controller.find_until(project, queue)
    return found is not None and expires == math.inf and (found.move is None or not found.move.pools)


def _best(
    rows: Iterable[QueueRow], loads: dict[str, float], shares: dict[str, float], now: dict[str, float]
) -> tuple[str, str] | None:
    """Return the queue of the fullest pool, and the pool for it, that bring all nearest to their shares; None: none."""
    fullest = max(shares, key=lambda name: now[name] - shares[name])
    best, found = MIN_GAIN, None
    for row in rows:
        if row.pool != fullest:
            continue
        for name, share in shares.items():
            gain = _distance(now[fullest] - shares[fullest], now[name] - share, loads[row.queue])
            if name != fullest and gain > best:
                best, found = gain, (row.queue, name)
    return found


def _distance(over: float, under: float, load: float) -> float:
    """Return by how much two pools come nearer to their shares when a load goes from the one to the other."""
    return (abs(over) + abs(under) - abs(over - load) - abs(under + load)) / 2
