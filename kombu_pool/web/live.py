"""The live parts of the pages, by name: each renders what a page shows within ``data-events``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.web.pages import audit, dead_letters, moves, pools, queue, queues, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

PAGES: Mapping[str, Callable[[Request], str]] = {
    "audit": audit.live,
    "dead": dead_letters.live,
    "moves": moves.live,
    "pools": pools.live,
    "queue": queue.live,
    "queues": queues.live,
    "workers": workers.live,
}
