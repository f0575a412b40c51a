"""Whether the broker answers, for the program that supervises the server. It needs no token."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from starlette.responses import Response
from starlette.routing import Route

from kombu_pool.metrics.health import Health, check
from kombu_pool.web.site import Site, site_of

if TYPE_CHECKING:
    from starlette.requests import Request

#: Time for which an answer is given again, in seconds: a client without a token can ask the stores no more often.
_MAX_AGE = 1.0
_checked: WeakKeyDictionary[Site, tuple[float, Health]] = WeakKeyDictionary()
_lock = threading.Lock()
#: Threads that only the health has: those of the pages may all wait for a control store that is frozen.
_THREADS = 4
_limiters: RunVar[CapacityLimiter] = RunVar("kombu_pool.web.health")


async def healthz(request: Request) -> Response:
    """Answer 200 if the control store answers, else 503; and which pools do. A page with a token shows no reasons."""
    site = site_of(request)
    health = await to_thread.run_sync(_check, site, limiter=_limiter())
    body = health.body(reasons=site.options.token is None)
    return Response(body, health.status, media_type="application/json")


def _limiter() -> CapacityLimiter:
    """Return the limiter of this event loop."""
    try:
        return _limiters.get()
    except LookupError:
        _limiters.set(CapacityLimiter(_THREADS))
        return _limiters.get()


def _check(site: Site) -> Health:
    with _lock:
        at, health = _checked.get(site, (float("-inf"), None))
        if health is None or time.monotonic() >= at + _MAX_AGE:
            health = check(lambda: site.broker)
            _checked[site] = time.monotonic(), health
        return health


routes = [Route("/healthz", healthz, name="healthz")]
