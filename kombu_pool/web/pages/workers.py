"""The page of the processes that consume, and of what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from kombu_pool.operator import workers
from kombu_pool.operator.queues import is_internal
from kombu_pool.web.pages.layout import page
from kombu_pool.web.rendering import render_text
from kombu_pool.web.requests import path_for
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from kombu_pool.operator.processes import ProcessView
    from kombu_pool.operator.workers import HeldReport, WorkerRow
    from kombu_pool.web.site import Site

#: How old the answer may be: it needs a call for each queue that has consumers, in seconds.
_TTL = 5.0
#: Messages that the page shows.
_SHOWN = 200


def show(request: Request) -> Response:
    """Show the processes and what they hold."""
    every = "1" if request.query_params.get("all") == "1" else ""
    return page(request, "workers.html", live(request), path_for(request, "events", "workers", all=every), all=every)


def live(request: Request) -> str:
    """Return the tables."""
    site, internal = site_of(request), request.query_params.get("all") == "1"
    found, held = site.shared.get(("workers", internal), max(_TTL, site.options.every), lambda: _ask(site, internal))
    rows = sorted(held.held, key=lambda row: (row.worker is None, *_name(row.worker), -row.age))[:_SHOWN]
    return render_text(
        request, "_workers.html", workers=found, report=held, held=rows, shown=_SHOWN, searched=workers.MAX_HELD
    )


def _name(worker: ProcessView | None) -> tuple[str, int]:
    return ("", 0) if worker is None else (worker.host or "", worker.pid or 0)


def _ask(site: Site, internal: bool) -> tuple[list[WorkerRow], HeldReport]:
    store, project = site.broker[:2]
    rows = [row for row in site.sampler.latest().queues if internal or not is_internal(row.queue, row.pool)]
    consumed = [row.queue for row in rows if row.consumers]
    report = workers.list_held(store, project, rows)
    return workers.with_held(workers.list_workers(store, project, consumed), report.held), report


routes = [Route("/workers", show, name="workers")]
