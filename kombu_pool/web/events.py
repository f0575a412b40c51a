"""Server-sent events: a page's live part, rendered again when it has changed."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from kombu_pool.errors import KombuPoolError
from kombu_pool.web.live import PAGES
from kombu_pool.web.pages.layout import with_outage
from kombu_pool.web.problems import Problem, problem_of
from kombu_pool.web.rendering import render_text
from kombu_pool.web.requests import path_of
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from kombu_pool.web.site import Site

#: Streams at the same time.
MAX_STREAMS = 200
#: Time after which a stream ends, and the page opens the next one, in seconds. A server that has the application
#: mounted, and that does not end its streams, waits so long for them when it stops.
MAX_SECONDS = 30.0
#: Time between two looks at whether there is a sample, or the server stops, in seconds.
_CLOSING_INTERVAL = 0.2
#: Time after which a page opens a stream again, in milliseconds.
_RETRY = 1000


async def stream(request: Request) -> Response:
    """Answer with the live part of a page whenever it changes."""
    site, name = site_of(request), path_of(request.scope).rpartition("/")[2]
    if name not in PAGES:
        raise Problem(404, "Not found", f"No page {name!r} has a live part.")
    if site.streams >= MAX_STREAMS or site.closing.is_set():
        # 204 would tell the browser to ask no more.
        return PlainTextResponse("Too many pages are open, or the server stops.\n", 503, {"Retry-After": "5"})
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(request, site, name), media_type="text/event-stream", headers=headers)


async def _events(request: Request, site: Site, name: str) -> AsyncIterator[str]:
    site.streams += 1
    try:
        ends, last = time.monotonic() + MAX_SECONDS, request.headers.get("last-event-id")
        yield f"retry: {_RETRY}\n\n"
        while not site.closing.is_set() and time.monotonic() < ends:
            text = await run_in_threadpool(_render, request, name)
            digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
            # A comment keeps proxies from closing a stream that is quiet.
            yield ": same\n\n" if digest == last else _event(digest, text)
            last = digest
            await _pause(site)
    finally:
        site.streams -= 1


def _event(digest: str, text: str) -> str:
    lines = "\n".join(f"data: {line}" for line in text.splitlines())
    return f"id: {digest}\n{lines}\n\n"


def _render(request: Request, name: str) -> str:
    try:
        return with_outage(request, PAGES[name](request))
    except Problem as problem:
        return render_text(request, "_problem.html", problem=problem)
    except KombuPoolError as error:
        return render_text(request, "_problem.html", problem=problem_of(error))


async def _pause(site: Site) -> None:
    """Wait for the next sample, for an interval at most, or until the server stops."""
    ends, number = time.monotonic() + site.options.every, site.sampler.number
    # Other threads change these: no event of a loop.
    while not site.closing.is_set() and site.sampler.number == number:
        if (left := ends - time.monotonic()) <= 0:
            return
        await anyio.sleep(min(left, _CLOSING_INTERVAL))


routes = [Route("/events/{page}", stream, name="events")]
