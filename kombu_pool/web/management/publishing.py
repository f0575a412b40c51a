"""``/api/exchanges/VHOST/NAME/publish``: publishes a message, as a client does."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from kombu_pool.transport.publish.envelope import PROPERTIES
from kombu_pool.web.management.errors import bad_request
from kombu_pool.web.management.exchanges import exchange_name
from kombu_pool.web.management.json_values import document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from kombu_pool.web.management.call import Call

_NUMBERS = frozenset({"delivery_mode", "priority", "timestamp"})
_NEEDED = ("routing_key", "payload", "payload_encoding", "properties")
_KEYS = frozenset({*_NEEDED, "delivery_mode", "exchange", "headers", "name", "props", "vhost"})


def publish(call: Call) -> Response:
    """Publish a message, and answer whether it was routed to a queue."""
    project, body = call.project(), call.body()
    _check(body)
    payload, properties = _payload(body), _properties(body["properties"])
    unroutable: list[Any] = []
    with call.state.channels.channel(project) as channel:
        channel.events["basic_return"].add(lambda *returned: unroutable.append(returned))
        message = channel.prepare_message(
            payload,
            content_type=properties.pop("content_type", None),
            content_encoding=properties.pop("content_encoding", None),
            headers=properties.pop("headers", None),
            properties=properties,
        )
        channel.basic_publish(message, exchange_name(call.name), body["routing_key"], mandatory=True)
    return document({"routed": not unroutable})


def _check(body: Mapping[str, Any]) -> None:
    for name in _NEEDED:
        if name not in body:
            raise bad_request(f"the body has no {name}: it needs {', '.join(_NEEDED)}")
    unknown = body.keys() - _KEYS
    if unknown:
        raise bad_request(f"a message has no {', '.join(sorted(unknown))}: there are {', '.join(sorted(_NEEDED))}")
    if not isinstance(body["routing_key"], str):
        raise bad_request(["not_string", "routing_key"])


def _payload(body: Mapping[str, Any]) -> bytes:
    payload, encoding = body["payload"], body["payload_encoding"]
    if not isinstance(payload, str):
        raise bad_request("payload_not_string")
    if encoding not in ("string", "base64"):
        raise bad_request(["unsupported_encoding", encoding])
    try:
        return payload.encode() if encoding == "string" else base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_request([f"not_{encoding}", payload[:100]]) from error


def _properties(given: Any) -> dict[str, Any]:
    # An empty list stands for an empty object in some clients.
    properties = given or {}
    if not isinstance(properties, dict):
        raise bad_request(f"properties must be an object, not {given!r}")
    unknown = properties.keys() - PROPERTIES - {"headers"}
    if unknown:
        known = ", ".join(sorted({*PROPERTIES, "headers"}))
        raise bad_request(f"a message has no property {', '.join(sorted(unknown))}: there are {known}")
    for name, value in properties.items():
        _check_property(name, value)
    return dict(properties)


def _check_property(name: str, value: Any) -> None:
    if name == "headers":
        if not isinstance(value, dict):
            raise bad_request(f"headers must be an object, not {value!r}")
    elif name in _NUMBERS:
        if not isinstance(value, int) or isinstance(value, bool):
            raise bad_request(["not_int", name])
    elif not isinstance(value, str):
        raise bad_request(["not_string", name])
