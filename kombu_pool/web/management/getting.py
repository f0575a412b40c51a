"""``/api/queues/VHOST/NAME/get``: shows the first messages of a queue, or takes them out of it."""

from __future__ import annotations

import base64
import logging
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool.errors import KombuPoolError
from kombu_pool.operator.messages import pages
from kombu_pool.storage.dead_letters import RESERVATION_TTL
from kombu_pool.transport import processes
from kombu_pool.transport.amqp_errors import resource_locked
from kombu_pool.transport.declare.queue_arguments import DECLARED
from kombu_pool.transport.publish.envelope import enveloped
from kombu_pool.transport.upkeep.dead_letters import headers_of
from kombu_pool.web.management.errors import bad_request
from kombu_pool.web.management.json_values import document, text_or_base64
from kombu_pool.web.management.queues import require

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from starlette.responses import Response

    from kombu_pool.model import ClaimMetadata, Message, Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.web.management.call import Call

logger = logging.getLogger(__name__)

#: Bound of the messages of one request, and of their bodies in bytes; the last message exceeds it.
MAX_COUNT, MAX_BYTES = 10_000, 32 * 1024 * 1024
#: The modes that only look, and those that take a message: to delete it, and to dead-letter it.
LOOK = ("ack_requeue_true", "reject_requeue_true")
DELETE, REJECT = "ack_requeue_false", "reject_requeue_false"
_MODES = (*LOOK, DELETE, REJECT)
_ENCODINGS = ("auto", "base64")
_KEYS = frozenset({"ackmode", "count", "encoding", "name", "payload_file", "queue", "truncate", "vhost"})
_BATCH = 100


class _Wanted(NamedTuple):
    """What a request asks for; ``truncate`` bounds each payload, in bytes, None does not."""

    number: int
    mode: str
    encoding: str
    truncate: int | None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> _Wanted:
        """Return what a body asks for."""
        missing = [name for name in ("count", "ackmode", "encoding") if name not in body]
        if missing or body.keys() - _KEYS:
            unknown = ", ".join(sorted(body.keys() - _KEYS)) or "nothing unknown"
            raise bad_request(f"the body lacks {', '.join(missing) or 'nothing'}, and has {unknown}")
        mode, encoding = body["ackmode"], body["encoding"]
        if mode not in _MODES:
            raise bad_request(f"ackmode must be one of {', '.join(_MODES)}, not {mode!r}")
        if encoding not in _ENCODINGS:
            raise bad_request(f"Unsupported encoding {encoding!r}. Please use auto or base64.")
        truncate = None if body.get("truncate") is None else _number(body["truncate"])
        count = _number(body["count"])
        if count > MAX_COUNT:
            raise bad_request(f"count must be at most {MAX_COUNT}, not {count}: message_count tells how many remain")
        return cls(count, mode, encoding, truncate)


def _number(value: Any) -> int:
    try:
        found = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else -1
    except ValueError:
        found = -1
    if found < 0:
        raise bad_request(["not_integer", value])
    return found


def get(call: Call) -> Response:
    """Answer with the first messages of a queue that no consumer holds.

    Those that stay are not claimed: their places, their delivery counts and their consumers are as before.
    """
    project = require(call)
    wanted = _Wanted.of(call.body())
    (counts,) = call.store.message_controller.count_many([(project, call.name)])
    ready = 0 if counts is None else counts.free
    if wanted.mode in LOOK:
        listed = (one for page in pages(call.store, project, call.name, wanted.number) for one in page)
        messages = list(_bounded(islice(listed, wanted.number)))
    else:
        messages = _taken(call, project, wanted)
    earlier = int(wanted.mode not in LOOK)
    views = [
        _view(message, call.name, wanted, max(ready - number, 0), redelivered=message["claim_count"] > earlier)
        for number, message in enumerate(messages, 1)
    ]
    return document(views)


def _bounded(messages: Iterable[Message]) -> Iterator[Message]:
    size = 0
    for message in messages:
        yield message
        size += len(enveloped(message["body"], "")["body"])
        if size > MAX_BYTES:
            return


def _taken(call: Call, project: Project, wanted: _Wanted) -> list[Message]:
    """Claim messages and settle them, with the dead letters of the transport."""
    messages: list[Message] = []
    size = 0
    with call.state.channels.channel(project) as channel:
        data: DataDriver = channel.connection.broker.data
        _require_shared(data, project, call.name)
        while len(messages) < wanted.number and size <= MAX_BYTES:
            try:
                batch = _settled(data, project, call.name, min(wanted.number - len(messages), _BATCH), wanted.mode)
            except KombuPoolError as error:
                # Only this answer has the messages that were taken before.
                if not messages:
                    raise
                logger.warning("A get of queue %r ends after %d messages: %s", call.name, len(messages), error)
                break
            if not batch:
                break
            messages += batch
            size += sum(len(enveloped(one["body"], "")["body"]) for one in batch)
    return messages


def _require_shared(data: DataDriver, project: Project, queue: str) -> None:
    declared = data.queue_controller.get_metadata(queue, project).get(DECLARED) or {}
    if declared.get("exclusive") is not None:
        raise resource_locked(queue)


def _settled(data: DataDriver, project: Project, queue: str, limit: int, mode: str) -> Sequence[Message]:
    metadata: ClaimMetadata = {"ttl": RESERVATION_TTL, "grace": 0, "holder": processes.process()}
    claim, messages = data.claim_controller.create(queue, metadata, project, limit)
    if claim is None:
        return ()
    settle = data.message_controller.delete_claimed if mode == DELETE else data.message_controller.reject
    refused = {message for message, _ in settle(queue, [(message["id"], claim) for message in messages], project)}
    return [message for message in messages if message["id"] not in refused]


def _view(message: Message, queue: str, wanted: _Wanted, remaining: int, *, redelivered: bool) -> dict[str, Any]:
    envelope = enveloped(message["body"], queue)
    payload = envelope["body"]
    payload = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
    text, encoding = _encoded(payload[: wanted.truncate], wanted.encoding)
    return {
        "payload_bytes": len(payload),
        "redelivered": redelivered,
        "exchange": envelope.get("exchange") or "",
        "routing_key": envelope.get("routing-key") or "",
        "message_count": remaining,
        # An empty list, as in RabbitMQ, whose clients print it.
        "properties": _properties(message, envelope) or [],
        "payload": text,
        "payload_encoding": encoding,
    }


def _encoded(payload: bytes, encoding: str) -> tuple[str, str]:
    return text_or_base64(payload) if encoding == "auto" else (base64.b64encode(payload).decode(), "base64")


def _properties(message: Message, envelope: Mapping[str, Any]) -> dict[str, Any]:
    headers = envelope["headers"]
    if "dead_letter" in message:
        headers = headers_of(dict(envelope), message["dead_letter"])
    found = {
        **envelope["properties"],
        "content_type": envelope.get("content-type"),
        "content_encoding": envelope.get("content-encoding"),
        "headers": headers or None,
    }
    return {name: value for name, value in found.items() if value is not None}
