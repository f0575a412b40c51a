"""The routes of the API: each path, and the handlers of its methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.web.management import bindings, consumers, exchanges, getting, moves, overview, publishing, queues
from kombu_pool.web.management.routing import ApiRoute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.routing import BaseRoute

    from kombu_pool.web.management.routing import Handler

_QUEUE, _EXCHANGE, _BINDINGS = "/queues/{vhost}/{name}", "/exchanges/{vhost}/{name}", "/bindings/{vhost}/e/{source}"
_HANDLERS: Mapping[str, Mapping[str, Handler]] = {
    "/overview": {"GET": overview.show},
    "/whoami": {"GET": overview.whoami},
    "/nodes": {"GET": overview.list_nodes},
    "/nodes/{name}": {"GET": overview.show_node},
    "/vhosts": {"GET": overview.list_vhosts},
    "/vhosts/{vhost}": {"GET": overview.show_vhost},
    "/queues": {"GET": queues.list_all},
    "/queues/{vhost}": {"GET": queues.list_all},
    _QUEUE: {"GET": queues.show, "PUT": queues.declare, "DELETE": queues.delete},
    f"{_QUEUE}/contents": {"DELETE": queues.purge},
    f"{_QUEUE}/get": {"POST": getting.get},
    f"{_QUEUE}/move": {"GET": moves.show, "PUT": moves.begin, "DELETE": moves.end},
    f"{_QUEUE}/bindings": {"GET": bindings.list_of_queue},
    "/moves": {"GET": moves.list_all},
    "/moves/{vhost}": {"GET": moves.list_all},
    "/exchanges": {"GET": exchanges.list_all},
    "/exchanges/{vhost}": {"GET": exchanges.list_all},
    _EXCHANGE: {"GET": exchanges.show, "PUT": exchanges.declare, "DELETE": exchanges.delete},
    f"{_EXCHANGE}/publish": {"POST": publishing.publish},
    f"{_EXCHANGE}/bindings/source": {"GET": bindings.list_from},
    f"{_EXCHANGE}/bindings/destination": {"GET": bindings.list_to},
    "/bindings": {"GET": bindings.list_all},
    "/bindings/{vhost}": {"GET": bindings.list_all},
    f"{_BINDINGS}/{{kind}}/{{destination}}": {"GET": bindings.list_between, "POST": bindings.bind},
    f"{_BINDINGS}/{{kind}}/{{destination}}/{{key}}": {"GET": bindings.show, "DELETE": bindings.unbind},
    "/consumers": {"GET": consumers.list_consumers},
    "/consumers/{vhost}": {"GET": consumers.list_consumers},
    "/connections": {"GET": consumers.list_connections},
    "/channels": {"GET": consumers.list_channels},
    # Any other path has no object, for a client of RabbitMQ.
    "/{rest:path}": {},
}


def routes() -> list[BaseRoute]:
    """Return the routes of the API, with their whole paths."""
    return [ApiRoute(f"/api{path}", handlers) for path, handlers in _HANDLERS.items()]
