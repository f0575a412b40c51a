"""The form of a Kombu message in a store, and the effect of its properties there.

The record is a mapping with Kombu's own keys, which a user of the library can read: ``body`` (bytes or text),
``content-type``, ``content-encoding``, ``headers``, ``properties``, ``exchange`` and ``routing-key``.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.errors import BodyNotSerialized, InvalidMessage
from kombu_pool.storage.validation import MAX_PRIORITY, is_key
from kombu_pool.transport.zero_ttl import ZERO_TTL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.model import NewMessage

Envelope = dict[str, Any]

#: The shortest delay of an eta, in seconds: a closer eta is due before a worker claims the message.
SHORTEST_DELAY = 0.05
#: The longest delay of an eta, in seconds: a store needs a finite number.
LONGEST_DELAY = 5e9


#: The basic properties of AMQP. As a broker does, a publish ignores all others.
PROPERTIES = frozenset(
    {
        "content_type", "content_encoding", "delivery_mode", "priority", "correlation_id", "reply_to", "expiration",
        "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id",
    }
)  # fmt: skip

#: The delivery mode of a message that need not outlive its server.
TRANSIENT = 1

#: The header by which a message without a task's id gets its key.
KEY_HEADER = "x-message-key"

#: The key of an envelope whose message the store delays until the task's eta.
DELAYED_BY_ETA = "delayed-by-eta"

_BODIES = (bytes, str)


def of_serialized(body: Any, routing_key: str, exchange: str) -> Envelope:
    """Return an envelope for a text or bytes.

    Raises:
        InvalidMessage: the body is neither.
    """
    return wrap(_serialized(body), routing_key, exchange)


def wrap(body: Any, routing_key: str, exchange: str) -> Envelope:
    """Return an envelope for a text, bytes, or a body that was posted through the library."""
    if isinstance(body, bytes):
        content_type, encoding = "application/data", "binary"
    elif isinstance(body, str):
        content_type, encoding = "text/plain", "utf-8"
    else:
        content_type, encoding, body = "application/json", "utf-8", json.dumps(body, default=_text)
    return {
        "body": body,
        "content-type": content_type,
        "content-encoding": encoding,
        "headers": {},
        "properties": {},
        "exchange": exchange,
        "routing-key": routing_key,
    }


def _text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def enveloped(body: Any, queue: str) -> Envelope:
    """Return a stored body if it is an envelope, else an envelope around it."""
    try:
        known = type(body["headers"]) is dict and type(body["properties"]) is dict and type(body["body"]) in _BODIES
    except (KeyError, TypeError):
        known = False
    envelope: Envelope = body if known else wrap(body, queue, "")
    return envelope


def new_message(envelope: Envelope, *, delay_eta: bool, zero_is_highest: bool = False) -> NewMessage:
    """Return the message to post: with the envelope's expiration and priority; with ``delay_eta`` with a task's eta.

    In a store, 255 is the highest priority; with ``zero_is_highest`` that is a property of 0, or none.
    Its properties are the basic ones of AMQP. Its key is the id of a task, the header KEY_HEADER, or the correlation id
    of a request.

    Raises:
        InvalidMessage: one of them is invalid, or the envelope's body is neither text nor bytes.
    """
    if type(envelope["body"]) not in _BODIES:
        envelope = {**envelope, "body": _serialized(envelope["body"])}
    properties = envelope["properties"]
    if not PROPERTIES.issuperset(properties):
        properties = {name: value for name, value in properties.items() if name in PROPERTIES}
        envelope = {**envelope, "properties": properties}
    message: NewMessage = {"ttl": None, "body": envelope}
    expiration = properties.get("expiration")
    if expiration is not None:
        message["ttl"] = _milliseconds(expiration) / 1000 or ZERO_TTL
    priority = properties.get("priority")
    if priority or zero_is_highest:
        value = _priority(priority or 0)
        message["priority"] = MAX_PRIORITY - value if zero_is_highest else value
    if properties.get("delivery_mode") == TRANSIENT:
        message["transient"] = True
    headers = envelope["headers"]
    if "task" in headers:
        key = headers.get("id")
        if delay_eta and headers.get("eta") and "id" in headers:
            _delay(message, headers["eta"], time.time())
        if is_key(key):
            message["key"] = key
    elif (KEY_HEADER in headers or "reply_to" in properties) and (key := _key(headers, properties)) is not None:
        message["key"] = key
    return message


def _key(headers: Mapping[str, Any], properties: Mapping[str, Any]) -> Any:
    """Return the key of a message that is no task of Celery's present protocol; None without one."""
    if KEY_HEADER in headers:
        return headers[KEY_HEADER]
    # A request: also a task of Celery's protocol 1.
    correlation_id = properties.get("correlation_id") if properties.get("reply_to") else None
    return correlation_id if is_key(correlation_id) else None


def add_record(message: NewMessage) -> None:
    """Encode a message's body now, once for all stores; its headers may change before it is posted.

    Raises:
        MessageNotEncodable: the body holds a value that no record keeps.
    """
    message["record"] = codec.encode(message["body"], sys.maxsize)


def _serialized(body: Any) -> str | bytes:
    """Return a body of a type that stands for text or bytes as one of them."""
    if isinstance(body, str):
        return str.__str__(body)
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise BodyNotSerialized(type(body).__qualname__)


def _milliseconds(expiration: Any) -> int:
    try:
        milliseconds = int(expiration)
    except (TypeError, ValueError):
        milliseconds = -1
    if milliseconds < 0:
        raise InvalidMessage(f"expiration must be a number of milliseconds of 0 or more, not {expiration!r}")
    return milliseconds


def _priority(priority: Any) -> int:
    try:
        return min(max(int(priority), 0), MAX_PRIORITY)
    except (TypeError, ValueError) as error:
        raise InvalidMessage(f"priority must be a number from 0 to {MAX_PRIORITY}, not {priority!r}") from error


def _delay(message: NewMessage, eta: Any, now: float) -> None:
    """Delay the message until its eta; an eta that cannot be parsed is left to the worker."""
    due = due_time(eta)
    if due is None:
        return
    delay = min(due - now, LONGEST_DELAY)
    if delay > SHORTEST_DELAY:
        message["delay"] = delay
        message["body"] = {**message["body"], DELAYED_BY_ETA: True}
        if message["ttl"]:
            # The ttl counts from the message's arrival in the queue, as in AMQP.
            message["ttl"] += delay


def due_time(eta: Any) -> float | None:
    """Return a task's eta in seconds since the epoch; None if it cannot be parsed."""
    try:
        due = datetime.fromisoformat(eta.replace("Z", "+00:00") if eta.endswith("Z") else eta)
    except (AttributeError, ValueError):
        return None
    return (due if due.tzinfo else due.replace(tzinfo=timezone.utc)).timestamp()
