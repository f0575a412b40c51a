"""The actions that move queues from pool to pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from kombu_pool.errors import NotPermitted
from kombu_pool.operator import moves
from kombu_pool.operator.drain_start import start_drain
from kombu_pool.operator.pool_removal import queues_in, require_another
from kombu_pool.operator.queue_details import show_queue
from kombu_pool.web.actions import MAX_SECONDS, Question, ask, is_confirmed, required, take
from kombu_pool.web.formats import counted
from kombu_pool.web.incarnations import incarnation_of, require_same
from kombu_pool.web.moving import MODES, continue_moves, require_movable
from kombu_pool.web.problems import Problem
from kombu_pool.web.requests import path_for
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from kombu_pool.operator.drain_start import DrainStart
    from kombu_pool.web.site import Site


def move(request: Request) -> Response:
    """Move a queue to another pool."""
    name, target, mode = required(request, "name"), required(request, "pool"), _mode(request)
    site = site_of(request)
    store, project = site.broker[:2]
    back = path_for(request, "queue", name=name)
    if not is_confirmed(request):
        row = show_queue(store, project, name).row
        require_movable(store, project, name, target)
        text = f"Move {name} with {counted(row.total, 'message')} from {row.pool} to {target}?"
        notes = (MODES[mode], f"New messages go to {target} at once. What a worker holds is settled where it is.")
        return ask(request, Question(text, "Move", back, notes), incarnation=[incarnation_of(request, name)])

    def call() -> str:
        require_same(request, name)
        source = require_movable(store, project, name, target)
        moves.start_move(store, project, name, target, copies=mode == "copy")
        continue_moves(site)
        return f"Moving {name} from {source} to {target}: its new messages go there."

    return take(request, "move", name, call, back)


def _mode(request: Request) -> str:
    mode = required(request, "mode")
    if mode not in MODES:
        raise Problem(400, "Refused", f"mode must be {' or '.join(MODES)}, not {mode!r}")
    return mode


def drain(request: Request) -> Response:
    """Empty a pool: move its queues to others, where they would be assigned if they were new."""
    name, mode = required(request, "name"), _mode(request)
    site = site_of(request)
    store, project = site.broker[:2]
    back = path_for(request, "pools")
    if not is_confirmed(request):
        require_another(store, store.control.pools_controller.get(name, detailed=True))
        text = f"Move {counted(len(queues_in(store, project, name)), 'queue')} out of {name}?"
        where = f"Each goes to a pool of the same flavor, by weight; all move at once, and {name} gets the weight 0."
        return ask(request, Question(text, "Drain", back, (where, MODES[mode])))

    def call() -> str:
        started = start_drain(store, project, name, copies=mode == "copy", seconds=MAX_SECONDS)
        continue_moves(site)
        return _said(name, started)

    return take(request, "drain pool", name, call, path_for(request, "moves"))


def _said(pool: str, started: DrainStart) -> str:
    said = f"{counted(len(started.moving), 'queue')} of {pool} moving; it gets no new ones."
    if started.unasked:
        said += f" The time was over: {started.unasked} are left, drain it again."
    return " ".join([said, *(f"{queue} stays: {reason}." for queue, reason in started.left.items())])


def take_over(request: Request) -> Response:
    """Take over a move from its process, which has died or does not work."""
    name, target = required(request, "name"), required(request, "pool")
    site = site_of(request)
    store, project = site.broker[:2]

    def call() -> str:
        _require_moving(site, name, target)
        moves.start_move(store, project, name, target)
        continue_moves(site)
        return f"The move of {name} to {target} goes on."

    return take(request, "take over move", name, call, path_for(request, "moves"))


def abort(request: Request) -> Response:
    """End a move whose target is not open yet."""
    name, target = required(request, "name"), required(request, "pool")
    site = site_of(request)
    store, project = site.broker[:2]
    back = path_for(request, "moves")
    if not is_confirmed(request):
        source = _require_moving(site, name, target)
        note = (f"{name} stays in {source}, with its messages.",)
        return ask(request, Question(f"End the move of {name} to {target}?", "End the move", back, note))

    def call() -> str:
        source = _require_moving(site, name, target)
        moves.abort_move(store, project, name)
        return f"The move of {name} has ended: it stays in {source}."

    return take(request, "end move", name, call, back)


def _require_moving(site: Site, queue: str, target: str) -> str:
    """Return the pool that a queue is leaving for the target; raise NotPermitted if it does not."""
    store, project = site.broker[:2]
    found = moves.unfinished_move(store, project, queue)
    if found is not None and found.target == target:
        return found.source
    raise NotPermitted(f"{queue} is not moving to {target}.")


routes = [
    Route("/queue/move", move, methods=["POST"], name="move"),
    Route("/pools/drain", drain, methods=["POST"], name="drain"),
    Route("/queue/move/continue", take_over, methods=["POST"], name="continue_move"),
    Route("/queue/move/abort", abort, methods=["POST"], name="abort_move"),
]
