"""``/api/moves`` and ``/api/queues/VHOST/NAME/move``: lists, begins, shows and ends moves of queues to other pools.

RabbitMQ has no such paths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.operator import moves
from kombu_pool.operator.ended_moves import list_ended_moves
from kombu_pool.web.management.call import created, no_content
from kombu_pool.web.management.errors import bad_request, not_found
from kombu_pool.web.management.queue_objects import POOL_TIMEOUT
from kombu_pool.web.management.queues import require
from kombu_pool.web.management.vhosts import vhost_of
from kombu_pool.web.moving import MODES, continue_moves, require_movable
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.responses import Response

    from kombu_pool.model import Project
    from kombu_pool.operator.ended_moves import EndedMove
    from kombu_pool.operator.moves import MoveRow
    from kombu_pool.pooling import DataDriver
    from kombu_pool.web.management.call import Call

#: What a body may have.
_KEYS = frozenset({"mode", "pool"})


def list_all(call: Call) -> Response:
    """Answer with the moves of a virtual host, or of all: those that are not over, and those that ended lately."""
    return call.many([each for project in call.projects() for each in _objects(call.store, project)])


def show(call: Call) -> Response:
    """Answer with the move of a queue, or with its last one while the catalogue has it."""
    project = require(call)
    found = [each for each in _objects(call.store, project) if each["name"] == call.name]
    if not found:
        raise _no_move(call)
    return call.one(found[0])


def begin(call: Call) -> Response:
    """Begin to move a queue: its new messages go to the other pool, and this process and the workers do the rest."""
    project = require(call)
    target, copies = _wanted(call)
    present = moves.unfinished_move(call.store, project, call.name)
    if present is not None and (present.target, present.copies) == (target, copies):
        return no_content()
    require_movable(call.store, project, call.name, target)
    moves.start_move(call.store, project, call.name, target, copies=copies)
    continue_moves(site_of(call.request))
    return created()


def end(call: Call) -> Response:
    """End a move whose target is not open to producers yet; the queue stays where it is."""
    project = require(call)
    if moves.unfinished_move(call.store, project, call.name) is None:
        raise _no_move(call)
    moves.abort_move(call.store, project, call.name)
    return no_content()


def _wanted(call: Call) -> tuple[str, bool]:
    """Return the pool that a body names, and whether the messages are copied."""
    wanted = call.body()
    if unknown := wanted.keys() - _KEYS:
        raise bad_request(f"a move has no {', '.join(sorted(unknown))}: there are {', '.join(sorted(_KEYS))}")
    target, mode = wanted.get("pool"), wanted.get("mode", "copy")
    if not isinstance(target, str) or not target:
        raise bad_request("pool must be the name of the pool that the queue moves to")
    if not isinstance(mode, str) or mode not in MODES:
        raise bad_request(f"mode must be {' or '.join(MODES)}, not {mode!r}")
    return target, mode == "copy"


def _no_move(call: Call) -> Exception:
    return not_found(f"queue {call.name!r} in vhost {call.vhost!r} is not moving")


def _objects(store: DataDriver, project: Project) -> Iterator[dict[str, Any]]:
    for row in moves.list_moves(store, project, POOL_TIMEOUT):
        numbers = {"messages": row.left, "messages_unacknowledged": row.held}
        process = {"process": row.holder, "process_lives": row.lives}
        yield {**_object(row, project), "state": "moving", "phase": row.phase, **numbers, **process, "ended": None}
    for ended in list_ended_moves(store, project):
        yield {**_object(ended, project), "state": "moved", "ended": ended.ended}


def _object(move: MoveRow | EndedMove, project: Project) -> dict[str, Any]:
    return {
        "name": move.queue,
        "vhost": vhost_of(project),
        "source": move.source,
        "pool": move.target,
        "mode": move.mode,
        "messages_copied": move.copied,
        "since": move.since,
    }
