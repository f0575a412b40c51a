"""The ASGI application: its routes, under the middleware that decides about access."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from kombu_pool.errors import ConfigurationError, KombuPoolError
from kombu_pool.metrics.sampler import INTERVAL, MIN_INTERVAL
from kombu_pool.operator.broker import Broker, BrokerUrl
from kombu_pool.web import events, health, management, prometheus, static
from kombu_pool.web.access import Access
from kombu_pool.web.pages import audit, dead_letters, login, move_actions, moves, pools, queue, queues, tasks, workers
from kombu_pool.web.problems import Problem, handle_error
from kombu_pool.web.site import MIN_TOKEN, Options, Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from starlette.routing import BaseRoute

    from kombu_pool.web.site import Revoke

#: The routes of every module, in this order.
ROUTES: tuple[BaseRoute, ...] = (
    *health.routes, *prometheus.routes, *static.routes, *login.routes, *events.routes,
    *queues.routes, *queue.routes, *tasks.routes,
    *dead_letters.routes, *pools.routes, *moves.routes, *move_actions.routes, *workers.routes, *audit.routes,
    *management.routes(),
)  # fmt: skip


def create_app(
    broker: Any,
    *,
    token: str | None = None,
    read_only: bool = False,
    show_bodies: bool = False,
    allowed_hosts: Sequence[str] = (),
    every: float = INTERVAL,
    on_cancelled: Revoke | None = None,
    transport_options: Mapping[str, Any] | None = None,
) -> Starlette:
    """Return the web page of a broker as an ASGI application, which another one may mount under any path.

    ``broker`` is a broker URL with its ``transport_options``, a Celery application, or an opened
    :class:`~kombu_pool.operator.broker.Broker`, which the caller closes. The other two are opened by the first request,
    and closed when the application ends its lifespan, or by ``app.state.site.close()``: a mounted application has no
    lifespan of its own.

    Without a ``token`` only this machine may ask, under its own names, and any client under the ``allowed_hosts``, "*"
    for every name: these belong behind a program that asks for a password itself.

    ``every``: seconds between two samples.
    ``on_cancelled`` is called with the messages of tasks that are cancelled, and returns the errors by task; the tasks
    of a Celery application with a result backend become REVOKED.

    Raises:
        ConfigurationError: the token or ``every`` is too short.
    """
    if token is not None and len(token) < MIN_TOKEN:
        raise ConfigurationError(f"token must have {MIN_TOKEN} characters or more, not {len(token)}")
    if not every >= MIN_INTERVAL:
        raise ConfigurationError(f"every must be {MIN_INTERVAL:g} seconds or more, not {every}")
    options = Options(
        token, read_only, show_bodies, tuple(host.lower() for host in allowed_hosts),
        on_cancelled or _on_cancelled(broker), every,
    )  # fmt: skip
    site = Site(BrokerUrl(broker, transport_options) if isinstance(broker, str) else broker, options)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        site.reopen()
        try:
            yield
        finally:
            site.close()

    handlers = dict.fromkeys((Problem, KombuPoolError, HTTPException, Exception), handle_error)
    app = Starlette(
        routes=ROUTES, middleware=[Middleware(Access, site)], exception_handlers=handlers, lifespan=lifespan
    )
    app.state.site = site
    return app


def _on_cancelled(broker: Any) -> Revoke | None:
    """Return what revokes the results of an application; None for a broker without one."""
    if isinstance(broker, Broker | str):
        return None
    from kombu_pool.contrib.tasks import revoker  # noqa: PLC0415 - Celery is there, or there were no application

    return revoker(broker)
