"""The page of the pools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.routing import Route

from kombu_pool.operator import pools
from kombu_pool.operator.queues import QueueTotals
from kombu_pool.storage import CONTROL_POOL
from kombu_pool.web.actions import required, take
from kombu_pool.web.pages.layout import page
from kombu_pool.web.problems import Problem
from kombu_pool.web.rendering import render_text
from kombu_pool.web.requests import path_for
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from kombu_pool.operator.pools import PoolHealth, PoolRow
    from kombu_pool.web.site import Site

#: Greatest weight that the page takes.
MAX_WEIGHT = 1_000_000


@dataclass(frozen=True)
class _Pool:
    """A pool, its health, its share of new queues from 0 to 1, and the messages of its queues."""

    row: PoolRow
    health: PoolHealth | None
    share: float
    totals: QueueTotals


def show(request: Request) -> Response:
    """Show the pools."""
    return page(request, "pools.html", live(request), path_for(request, "events", "pools"))


def live(request: Request) -> str:
    """Return the table."""
    site = site_of(request)
    found = site.shared.get("pools", site.options.every, lambda: _pools(site))
    return render_text(request, "_pools.html", pools=found, control_pool=CONTROL_POOL)


def _pools(site: Site) -> list[_Pool]:
    store, project = site.broker[:2]
    rows = pools.list_pools(store, project)
    health = {each.pool: each for each in pools.check_health(store)}
    queues = site.sampler.latest().queues
    weights: dict[str | None, int] = {}
    for row in rows:
        # A flavor has pools of its own.
        weights[row.flavor] = weights.get(row.flavor, 0) + row.weight
    return [
        _Pool(
            row,
            health.get(row.pool),
            row.weight / weights[row.flavor] if weights[row.flavor] else 0.0,
            QueueTotals.of([queue for queue in queues if queue.pool == row.pool]),
        )
        for row in rows
    ]


def change_weight(request: Request) -> Response:
    """Change a pool's share of new queues."""
    name, given = required(request, "name"), required(request, "weight").strip()
    if not given.isdecimal() or len(given) > len(str(MAX_WEIGHT)) or int(given) > MAX_WEIGHT:
        raise Problem(400, "Refused", f"weight must be a whole number from 0 to {MAX_WEIGHT}, not {given!r}")
    store, project = site_of(request).broker[:2]

    def call() -> str:
        pools.change_pool(store, project, name, {"weight": int(given)})
        return f"The weight of {name} is {int(given)} now."

    return take(request, "change weight", name, call, path_for(request, "pools"))


routes = [
    Route("/pools", show, name="pools"),
    Route("/pools/weight", change_weight, methods=["POST"], name="weight"),
]
