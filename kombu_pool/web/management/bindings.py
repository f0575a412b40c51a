"""``/api/bindings``: lists, makes, shows and removes bindings, those of the default exchange among the listed."""

from __future__ import annotations

import base64
import hashlib
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from starlette.responses import Response

from kombu_pool import codec
from kombu_pool.web.management.call import arguments_of, no_content
from kombu_pool.web.management.errors import bad_request, not_found
from kombu_pool.web.management.exchanges import exchange_exists, exchange_name
from kombu_pool.web.management.json_values import document
from kombu_pool.web.management.queue_objects import names_of
from kombu_pool.web.management.vhosts import vhost_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.web.management.call import Call

#: The letter in a path -> the type of a destination.
KINDS = {"q": "queue", "e": "exchange"}
_KEYS = frozenset({"arguments", "destination", "destination_type", "routing_key", "source", "vhost"})
_HASH_BYTES = 6


def properties_key(routing_key: str, arguments: Mapping[str, Any]) -> str:
    """Return the key that tells a binding from the others between its source and its destination."""
    # Each client encodes the key once more for a path.
    key = quote_plus(routing_key, safe="").replace("~", "%7E")
    if not arguments:
        return key or "~"
    digest = hashlib.blake2b(codec.encode_deterministic(dict(arguments)), digest_size=_HASH_BYTES).digest()
    return f"{key}~{base64.urlsafe_b64encode(digest).decode()}"


def _object(binding: Mapping[str, Any], project: Project) -> dict[str, Any]:
    return {
        "source": binding["exchange"],
        "vhost": vhost_of(project),
        "destination": binding["destination"],
        "destination_type": binding["destination_type"],
        "routing_key": binding["routing_key"],
        "arguments": binding["arguments"] or {},
        "properties_key": properties_key(binding["routing_key"], binding["arguments"]),
    }


def _default(queue: str, project: Project) -> dict[str, Any]:
    """Return the binding of the default exchange to a queue, by its name."""
    binding = {"exchange": "", "destination": queue, "destination_type": "queue", "routing_key": queue, "arguments": {}}
    return _object(binding, project)


def binding_objects(call: Call, project: Project, source: str | None = None) -> list[dict[str, Any]]:
    """Return the objects of a project's bindings, or of one exchange's."""
    defaults = [] if source else [_default(queue, project) for queue in names_of(call.store, project)]
    listed = [] if source == "" else call.store.control.bindings_controller.list(source, project)
    bindings = [_object(binding, project) for binding in listed]
    return defaults + sorted(bindings, key=itemgetter("source", "destination", "routing_key", "properties_key"))


def list_all(call: Call) -> Response:
    """Answer with the bindings of a virtual host, or of all."""
    return call.many([each for project in call.projects() for each in binding_objects(call, project)])


def list_of_queue(call: Call) -> Response:
    """Answer with the bindings to a queue."""
    return call.many(_to(binding_objects(call, call.project()), call.name, "queue"))


def list_from(call: Call) -> Response:
    """Answer with the bindings from an exchange."""
    return call.many(binding_objects(call, call.project(), exchange_name(call.name)))


def list_to(call: Call) -> Response:
    """Answer with the bindings to an exchange."""
    return call.many(_to(binding_objects(call, call.project()), exchange_name(call.name), "exchange"))


def _to(bindings: Sequence[dict[str, Any]], destination: str, kind: str) -> list[dict[str, Any]]:
    return [each for each in bindings if (each["destination"], each["destination_type"]) == (destination, kind)]


def list_between(call: Call) -> Response:
    """Answer with the bindings from an exchange to a queue or to another exchange."""
    return call.many(_between(call, call.project()))


def _between(call: Call, project: Project) -> list[dict[str, Any]]:
    bindings = binding_objects(call, project, exchange_name(call.parameters["source"]))
    return _to(bindings, call.parameters["destination"], _kind(call))


def _kind(call: Call) -> str:
    kind = KINDS.get(call.parameters["kind"])
    if kind is None:
        raise not_found(f"a destination is q, a queue, or e, an exchange; not {call.parameters['kind']!r}")
    return kind


def show(call: Call) -> Response:
    """Answer with a binding."""
    return document(call.listing().columns_of(_found(call, call.project())))


def _found(call: Call, project: Project) -> dict[str, Any]:
    key = call.parameters["key"]
    for binding in _between(call, project):
        # Some clients send the routing key itself.
        if key == binding["properties_key"] or (key == binding["routing_key"] and not binding["arguments"]):
            return binding
    source, destination = call.parameters["source"], call.parameters["destination"]
    raise not_found(f"no binding {key!r} between {source!r} and {destination!r} in vhost {call.vhost!r}")


def bind(call: Call) -> Response:
    """Bind a queue, or an exchange, to an exchange, as a client does."""
    project, wanted, kind = call.project(), call.body(), _kind(call)
    unknown = wanted.keys() - _KEYS
    if unknown:
        raise bad_request(f"a binding has no {', '.join(sorted(unknown))}: there are {', '.join(sorted(_KEYS))}")
    routing_key, arguments = wanted.get("routing_key", ""), arguments_of(wanted)
    if not isinstance(routing_key, str):
        raise bad_request(["not_string", "routing_key"])
    source, destination = _require_ends(call, project, kind)
    with call.state.channels.channel(project) as channel:
        if kind == "queue":
            channel.queue_bind(destination, source, routing_key, arguments)
        else:
            channel.exchange_bind(destination, source, routing_key, arguments=arguments)
    place = f"{quote_plus(destination)}/{quote_plus(properties_key(routing_key, arguments))}"
    return Response(status_code=201, headers={"Location": place})


def _require_ends(call: Call, project: Project, kind: str) -> tuple[str, str]:
    """Return the source and the destination of a binding to make; that to the default exchange is made already."""
    source, destination = exchange_name(call.parameters["source"]), call.parameters["destination"]
    if not source:
        raise bad_request("the default exchange is bound to every queue by its name, and to nothing else")
    if not exchange_exists(call.store, project, source):
        raise not_found(f"no exchange {source!r} in vhost {call.vhost!r}")
    if not _exists(call.store, project, destination, kind):
        raise not_found(f"no {kind} {destination!r} in vhost {call.vhost!r}")
    return source, destination


def _exists(store: DataDriver, project: Project, name: str, kind: str) -> bool:
    if kind == "exchange":
        return exchange_exists(store, project, name)
    return store.queue_controller.exists(name, project)


def unbind(call: Call) -> Response:
    """Remove a binding."""
    project = call.project()
    found = _found(call, project)
    if not found["source"]:
        raise bad_request("the default exchange is bound to every queue by its name for as long as the queue exists")
    names = found["destination"], found["source"], found["routing_key"]
    with call.state.channels.channel(project) as channel:
        remove = channel.queue_unbind if found["destination_type"] == "queue" else channel.exchange_unbind
        remove(*names, arguments=found["arguments"])
    return no_content()
