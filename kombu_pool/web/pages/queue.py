"""The page of one queue."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError
from kombu_pool.operator import messages, removal, workers
from kombu_pool.operator.queue_details import show_queue
from kombu_pool.operator.queues import require_answer
from kombu_pool.storage import CONTROL_POOL
from kombu_pool.web.actions import MAX_SECONDS, Question, ask, is_confirmed, required, take
from kombu_pool.web.formats import counted
from kombu_pool.web.incarnations import incarnation_of, require_same
from kombu_pool.web.moving import MODES, moves_for
from kombu_pool.web.pages.layout import page
from kombu_pool.web.rendering import render_text
from kombu_pool.web.requests import form_of, path_for
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from kombu_pool.operator.messages import MessageView
    from kombu_pool.operator.queue_details import QueueDetails
    from kombu_pool.operator.queues import QueueRow
    from kombu_pool.web.site import Site

#: The kinds of messages that are shown, and how many at once.
_UNACKED = "unacked"
_KINDS, _LIMITS = ("ready", "delayed", _UNACKED, "dead"), (20, 100, 500)


def show(request: Request) -> Response:
    """Show a queue, and its first messages."""
    name, given = required(request, "name"), request.query_params
    details = _details(request, name)
    kind = given.get("kind", "ready")
    kind = kind if kind in _KINDS else "ready"
    limit = next((limit for limit in _LIMITS if str(limit) == given.get("limit")), _LIMITS[0])
    task, held = given.get("task", "").strip(), workers.HeldReport([])
    found, failure = _peek(request, name, kind, limit, task)
    if kind == _UNACKED:
        held = _held(request, details, task)
    return page(
        request,
        "queue.html",
        live(request),
        path_for(request, "events", "queue", name=name),
        details=details,
        declared=_declared(details),
        messages=found,
        held=held.held[:limit],
        failure=failure or "; ".join(held.unreachable.values()),
        kind=kind,
        kinds=_KINDS,
        limit=limit,
        limits=_LIMITS,
        task=task,
        targets=_targets(request, details.row),
        modes=MODES,
    )


def _targets(request: Request, row: QueueRow) -> list[str]:
    """Return the pools to which a queue can be moved: no other one while it is moving."""
    if row.pool == CONTROL_POOL or moves_for(request, row.queue):
        return []
    site = site_of(request)
    found = site.shared.get(
        "names of pools", site.options.every, lambda: [pool["name"] for pool in site.broker.store.catalog.rows()]
    )
    return [name for name in found if name not in (row.pool, CONTROL_POOL)]


def _details(request: Request, name: str) -> QueueDetails:
    site = site_of(request)
    return site.shared.get(("queue", name), site.options.every, lambda: show_queue(*site.broker[:2], name))


def _declared(details: QueueDetails) -> list[tuple[str, str]]:
    declared = dict(details.declared)
    arguments = declared.pop("arguments", None) or {}
    found = {**details.policy, **declared, **arguments}
    return [(name, _text(value)) for name, value in sorted(found.items()) if value is not None]


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, default=str)


def _peek(request: Request, name: str, kind: str, limit: int, task: str) -> tuple[list[MessageView], str]:
    """Return messages, or why there are none: the counts and the consumers are there also if the pool is down."""
    site = site_of(request)
    details = _details(request, name)
    if details.row.error is not None or kind == _UNACKED:
        return [], details.row.error or ""
    try:
        store, project = site.broker[:2]
        require_answer(store, project, name)
        found = messages.peek(
            store, project, name, limit=limit, delayed=kind == "delayed", dead=kind == "dead", task=task or None,
            show_bodies=site.options.show_bodies,
        )  # fmt: skip
    except KombuPoolError as error:
        return [], mask(str(error))
    return found, ""


def _held(request: Request, details: QueueDetails, task: str) -> workers.HeldReport:
    """Return the messages that consumers hold, with the processes that do."""
    site = site_of(request)
    found = site.shared.get(
        ("held", details.row.queue), site.options.every,
        lambda: workers.list_held(*site.broker[:2], [details.row]),
    )  # fmt: skip
    return replace(found, held=[row for row in found.held if not task or row.task == task])


def live(request: Request) -> str:
    """Return the counts and the consumers."""
    name, site = required(request, "name"), site_of(request)
    details = _details(request, name)
    sampled = _sampled(request, name)
    counters = site.shared.get(("counters", name), site.options.every, lambda: _counters(site, name))
    return render_text(
        request,
        "_queue.html",
        details=details,
        row=details.row,
        rates=(None, None) if sampled is None else (sampled.rate_in, sampled.rate_out),
        points=site.sampler.points(name),
        moves=moves_for(request, name),
        counters=sorted(counters.items()),
    )


def _counters(site: Site, name: str) -> Mapping[str, int]:
    store, project = site.broker[:2]
    return store.control.counters([(project, name)]).get((project, name), {})


def _sampled(request: Request, name: str) -> QueueRow | None:
    with suppress(KombuPoolError):
        return next((row for row in site_of(request).sampler.latest().queues if row.queue == name), None)
    return None


def purge(request: Request) -> Response:
    """Delete the messages that no consumer holds: all, those that are ready, or those of one task."""
    name, form = required(request, "name"), form_of(request)
    task, keep = form.get("task", "").strip(), form.get("keep_delayed") == "1"
    store, project = site_of(request).broker[:2]
    back = path_for(request, "queue", name=name)
    if not is_confirmed(request):
        row = show_queue(store, project, name).row
        what = f"the tasks {task}" if task else counted(row.ready, "ready message")
        what += "" if keep else ", delayed ones too" if task else f" and {row.delayed} delayed ones"
        note = ("Messages that a consumer holds stay. The result of a task that is deleted stays PENDING.",)
        question = Question(f"Delete {what} from {name}?", "Purge", back, note)
        return ask(request, question, incarnation=[incarnation_of(request, name)])

    ends = time.monotonic() + MAX_SECONDS

    def call() -> str:
        require_same(request, name)
        deleted = removal.purge(
            store, project, name, keep_delayed=keep, task=task or None, progress=lambda _, __: time.monotonic() > ends
        )
        late = " The time was over: there may be more." if time.monotonic() > ends else ""
        return f"Deleted {counted(deleted, 'message')} from {name}.{late}"

    return take(request, "purge", name, call, back)


def pause(request: Request) -> Response:
    """Stop the delivery of messages."""
    name = required(request, "name")
    store, project = site_of(request).broker[:2]

    def call() -> str:
        store.queue_controller.pause(name, project)
        return f"Paused {name}."

    return take(request, "pause", name, call, path_for(request, "queue", name=name))


def resume(request: Request) -> Response:
    """Resume the delivery of messages."""
    name = required(request, "name")
    store, project = site_of(request).broker[:2]

    def call() -> str:
        store.queue_controller.resume(name, project)
        return f"Resumed {name}."

    return take(request, "resume", name, call, path_for(request, "queue", name=name))


def delete(request: Request) -> Response:
    """Delete the queue with its messages and bindings; if asked so, only an empty or unused one."""
    name, form = required(request, "name"), form_of(request)
    if_empty, if_unused = form.get("if_empty") == "1", form.get("if_unused") == "1"
    store, project = site_of(request).broker[:2]
    back = path_for(request, "queue", name=name)
    if not is_confirmed(request):
        row = show_queue(store, project, name).row
        note = ("Its consumers are cancelled, and its bindings go with it.",)
        text = f"Delete {name} with {counted(row.total, 'message')} and {counted(row.consumers, 'consumer')}?"
        question = Question(text, "Delete the queue", back, note)
        return ask(request, question, incarnation=[incarnation_of(request, name)])

    def call() -> str:
        require_same(request, name)
        removal.delete_queue(store, project, name, if_empty=if_empty, if_unused=if_unused)
        return f"Deleted {name}."

    return take(request, "delete queue", name, call, path_for(request, "queues"))


routes = [
    Route("/queue", show, name="queue"),
    Route("/queue/purge", purge, methods=["POST"], name="purge"),
    Route("/queue/pause", pause, methods=["POST"], name="pause"),
    Route("/queue/resume", resume, methods=["POST"], name="resume"),
    Route("/queue/delete", delete, methods=["POST"], name="delete"),
]
