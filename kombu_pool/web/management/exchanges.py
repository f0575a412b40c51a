"""``/api/exchanges``: lists, declares, shows and deletes exchanges."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import ExchangeDoesNotExist
from kombu_pool.transport.declare.exchanges import PREDECLARED, TYPES
from kombu_pool.web.management.call import arguments_of, boolean, created, no_content
from kombu_pool.web.management.errors import access_refused, bad_request, not_found
from kombu_pool.web.management.queues import RESERVED
from kombu_pool.web.management.vhosts import vhost_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.web.management.call import Call

#: The name of the default exchange in a path; its own name is empty.
DEFAULT_EXCHANGE = "amq.default"
_KEYS = frozenset({"arguments", "auto_delete", "durable", "internal", "name", "type", "vhost"})


def exchange_name(name: str) -> str:
    """Return the name of the exchange that a path names."""
    return "" if name == DEFAULT_EXCHANGE else name


def exchange_objects(store: DataDriver, project: Project) -> list[dict[str, Any]]:
    """Return the objects of a project's exchanges by name, those that AMQP predeclares among them."""
    found: dict[str, Mapping[str, Any]] = {
        name: {"type": type_} for name, type_ in {"": "direct", **PREDECLARED}.items()
    }
    found.update({each["name"]: each for each in store.control.bindings_controller.list_exchanges(project)})
    return [_object(name, project, found[name]) for name in sorted(found)]


def _object(name: str, project: Project, exchange: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "vhost": vhost_of(project),
        "type": exchange["type"],
        "durable": bool(exchange.get("durable", True)),
        "auto_delete": bool(exchange.get("auto_delete", False)),
        "internal": False,
        "arguments": exchange.get("arguments") or {},
        "policy": None,
    }


def list_all(call: Call) -> Response:
    """Answer with the exchanges of a virtual host, or of all."""
    return call.many([each for project in call.projects() for each in exchange_objects(call.store, project)])


def show(call: Call) -> Response:
    """Answer with an exchange."""
    return call.one({**_found(call, call.project()), "incoming": [], "outgoing": []})


def _found(call: Call, project: Project) -> dict[str, Any]:
    name = exchange_name(call.name)
    if not name or name in PREDECLARED:
        return _object(name, project, {"type": PREDECLARED.get(name, "direct")})
    try:
        return _object(name, project, call.store.control.bindings_controller.get_exchange(name, project))
    except ExchangeDoesNotExist as error:
        raise no_exchange(call, name) from error


def no_exchange(call: Call, name: str) -> Exception:
    """Return the error for an exchange that does not exist."""
    return not_found(f"no exchange {name!r} in vhost {call.vhost!r}")


def declare(call: Call) -> Response:
    """Declare an exchange, as a client does."""
    project, wanted, name = call.project(), call.body(), exchange_name(call.name)
    type_ = _type(wanted)
    durable, auto_delete = boolean(wanted, "durable", default=True), boolean(wanted, "auto_delete", default=False)
    arguments, exists = arguments_of(wanted), exchange_exists(call.store, project, name)
    if not name or (name.startswith(RESERVED) and not exists):
        raise access_refused(call.name)
    with call.state.channels.channel(project) as channel:
        channel.exchange_declare(name, type_, durable=durable, auto_delete=auto_delete, arguments=arguments)
    return no_content() if exists else created()


def _type(wanted: Mapping[str, Any]) -> str:
    unknown = wanted.keys() - _KEYS
    if unknown:
        raise bad_request(f"an exchange has no {', '.join(sorted(unknown))}: there are {', '.join(sorted(_KEYS))}")
    if boolean(wanted, "internal", default=False):
        raise bad_request("there are no internal exchanges: a client may publish to each")
    type_ = wanted.get("type", "direct")
    if not isinstance(type_, str) or type_ not in TYPES:
        raise bad_request(f"unknown exchange type {type_!r}: there are {', '.join(sorted(TYPES))}")
    return type_


def exchange_exists(store: DataDriver, project: Project, name: str) -> bool:
    """Return whether an exchange exists, or is one that AMQP predeclares."""
    with suppress(ExchangeDoesNotExist):
        store.control.bindings_controller.get_exchange(name, project)
        return True
    return name in PREDECLARED


def delete(call: Call) -> Response:
    """Delete an exchange with its bindings, if it has none where the request asks for that."""
    if_unused, project, name = call.flag("if-unused"), call.project(), exchange_name(call.name)
    if not name or name in PREDECLARED:
        raise access_refused(call.name)
    _found(call, project)
    with call.state.channels.channel(project) as channel:
        channel.exchange_delete(name, if_unused=if_unused)
    return no_content()
