"""The moves of queues, as the pages show them, and the thread that continues them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kombu_pool.errors import KombuPoolError, NotPermitted, PoolNotCreated
from kombu_pool.operator import moves
from kombu_pool.operator import queues as operator_queues
from kombu_pool.operator.ended_moves import list_ended_moves
from kombu_pool.operator.processes import process_view
from kombu_pool.transport.upkeep.moves import MoveUpkeep
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from kombu_pool.model import Project
    from kombu_pool.operator.ended_moves import EndedMove
    from kombu_pool.operator.moves import MoveRow
    from kombu_pool.operator.processes import ProcessView
    from kombu_pool.pooling import DataDriver
    from kombu_pool.web.site import Site

#: How old the answer may be, in seconds: a move of 10,000 messages takes about one.
TTL = 1.0
#: What each kind of move does, in a sentence.
MODES = {
    "copy": "The messages are copied in order, and workers get nothing from the queue until all are.",
    "drain": "Workers empty the old pool first, and get new messages after that; only delayed ones are copied.",
}


@dataclass(frozen=True)
class Moving:
    """A move that is not over: its process, and the most messages that this server has seen on their way or moved.

    ``total`` is None while the source has not told how many it has.
    """

    row: MoveRow
    worker: ProcessView | None
    total: int | None

    @property
    def moved(self) -> int | None:
        """The number of messages that have left the source, of the ``total``."""
        return None if self.total is None or self.row.left is None else max(0, self.total - self.row.left)


class Moves(NamedTuple):
    """The moves that are not over, and those that are, the last one first."""

    moving: list[Moving]
    ended: list[EndedMove]


def moves_of(site: Site) -> Moves:
    """Return the moves of the project; this process continues them as workers do, unless it is read-only."""
    return site.shared.get("moves", min(TTL, site.options.every), lambda: _ask(site))


def _ask(site: Site) -> Moves:
    store, project = site.broker[:2]
    rows = moves.list_moves(store, project)
    totals: dict[tuple[str, float], int] = site.once("move totals", dict)
    known = {(row.queue, row.since): _total(row, totals.get((row.queue, row.since))) for row in rows}
    totals.clear()
    totals.update({key: total for key, total in known.items() if total is not None})
    if rows:
        continue_moves(site)
    found = [
        Moving(row, None if row.holder is None else process_view(row.holder), known[row.queue, row.since])
        for row in rows
    ]
    ended = list_ended_moves(store, project)
    # One that ended between the two answers is over.
    over = {(each.queue, each.since) for each in ended}
    return Moves([each for each in found if (each.row.queue, each.row.since) not in over], ended)


def _total(row: MoveRow, before: int | None) -> int | None:
    return before if row.left is None else max(before or 0, row.copied + row.left)


def continue_moves(site: Site) -> None:
    """Continue the moves that no process works on: one thread makes one step at a time, while there are some.

    It ends with the site, and leaves what is not over to the workers.
    """
    if site.options.read_only:
        return

    def made() -> MoveUpkeep:
        upkeep = MoveUpkeep(site.broker.store)
        site.call_on_close(upkeep.close)
        return upkeep

    site.once("move upkeep", made).start()


def moves_for(request: Request, queue: str) -> list[Moving]:
    """Return the move of a queue that is not over, if it has one."""
    return [move for move in moves_of(site_of(request)).moving if move.row.queue == queue]


def require_movable(store: DataDriver, project: Project, queue: str, target: str) -> str:
    """Return the pool of a queue that is to move to another one; both answer.

    Raises:
        QueueDoesNotExist, PoolDoesNotExist: the queue, or the pool, does not exist.
        NotPermitted: it is moving already.
        KombuPoolError: a pool does not answer within :data:`~kombu_pool.operator.queues.POOL_TIMEOUT`.
    """
    operator_queues.require_answer(store, project, queue)
    store.control.pools_controller.get(target)
    answer = operator_queues.ask(store, {target: lambda _: None}, None)[target]
    # The move creates the store of a pool that no queue has needed yet.
    if isinstance(answer, KombuPoolError) and not isinstance(answer, PoolNotCreated):
        raise answer
    if moves.unfinished_move(store, project, queue) is not None:
        raise NotPermitted(f"{queue} is moving already: let that move end first.")
    return store.catalog.pool_of(queue, project) or ""
