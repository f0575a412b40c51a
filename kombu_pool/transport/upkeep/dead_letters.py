"""Dead letters as AMQP has them: published to their queue's exchange, with ``x-death`` saying why they are dead.

``x-death`` is a list of tables, the last death first: ``queue``, ``reason``, ``count`` (deaths in this queue for this
reason), ``time`` (seconds since the epoch), ``exchange`` and ``routing-keys`` (how the message came there), and the
``original-expiration``. The headers ``x-first-death-*`` and ``x-last-death-*`` hold ``queue``, ``reason`` and
``exchange`` of the first and the last death.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import ExchangeDoesNotExist, QueueDoesNotExist
from kombu_pool.storage import DeadLetterHooks
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.policy import policy as policy_of
from kombu_pool.transport.declare.exchanges import Router
from kombu_pool.transport.declare.queue_arguments import (
    DECLARED,
    DELIVERY_LIMIT_EXCHANGE,
    dead_letters_refused,
)
from kombu_pool.transport.publish import envelope as envelopes
from kombu_pool.transport.upkeep.default_dead_letter_queue import DEFAULT_DEAD_LETTER_QUEUE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu_pool.model import DeadLetter, NewMessage, Project
    from kombu_pool.storage import ControlDriver, DataDriver
    from kombu_pool.transport.publish.envelope import Envelope
    from kombu_pool.transport.upkeep.default_dead_letter_queue import DefaultDeadLetterQueue

#: RabbitMQ's words for reasons that a store calls otherwise.
RABBITMQ_REASONS = {DeadLetterReason.DELIVERY_LIMIT: "delivery_limit"}
#: Reasons without a consumer's doing: a message that returns to a queue for these alone would cycle for ever.
_AUTOMATIC = frozenset({DeadLetterReason.EXPIRED, DeadLetterReason.MAX_LENGTH})


class DeadLetterPublisher:
    """Publishes dead letters for the stores, which know no exchanges; ``data`` returns the driver that posts them."""

    def __init__(
        self, data: Callable[[], DataDriver], control: ControlDriver, default_queue: DefaultDeadLetterQueue
    ) -> None:
        self._data = data
        self._bindings = control.bindings_controller
        self._default_queue = default_queue
        self._routers: dict[Project, Router] = {}
        self.hooks = DeadLetterHooks(publish=self.publish, restore_address=restore_address)

    def publish(self, project: Project, exchange: str, routing_key: str | None, message: NewMessage) -> bool:
        """Store a dead letter in every queue that the exchange leads to, or in the default queue if there is none.

        Return False if it is dropped: it would cycle for ever, or its queue names no exchange.

        Raises:
            KombuPoolError: one of these queues is unreachable or full.
        """
        origin = message["dead_letter"]
        envelope = dead_letter_envelope(message["body"], origin)
        dead: NewMessage = {**message, "ttl": None, "body": envelope}
        if exchange == DELIVERY_LIMIT_EXCHANGE:
            if origin["reason"] != DeadLetterReason.DELIVERY_LIMIT:
                return False
            self._default_queue.keep(project, dead, "its queue has a delivery limit and no dead-letter exchange")
            return True
        key = envelope["routing-key"] if routing_key is None else routing_key
        routed = self._route(project, exchange, key, envelope)
        queues = [queue for queue in routed or () if not _would_cycle(envelope, queue)]
        envelope["exchange"], envelope["routing-key"] = exchange, key
        if any([self._default_queue.post(project, queue, dead) for queue in queues]):  # noqa: C419 - to each of them
            return True
        if (routed and not queues) or _would_cycle(envelope, DEFAULT_DEAD_LETTER_QUEUE):
            return False
        what = "there is no dead-letter exchange %r" if routed is None else "exchange %r with key %r leads to no queue"
        self._default_queue.keep(project, dead, what % ((exchange,) if routed is None else (exchange, key)))
        return True

    def publish_refused(self, project: Project, queue: str, messages: Sequence[NewMessage]) -> None:
        """Dead-letter messages that a full queue refused, if its arguments ask for that."""
        try:
            metadata = self._data().queue_controller.get_metadata(queue, project)
        except QueueDoesNotExist:
            return
        policy, arguments = policy_of(metadata), metadata.get(DECLARED, {}).get("arguments", {})
        if policy.dead_letter_exchange is None or not dead_letters_refused(arguments):
            return
        origin: DeadLetter = {"queue": queue, "reason": DeadLetterReason.MAX_LENGTH, "time": time.time(), "count": 0}
        for message in messages:
            dead: NewMessage = {**message, "dead_letter": origin, "delay": 0}
            publish = self._data().dead_letter_hooks.publish or self.publish
            publish(project, policy.dead_letter_exchange, policy.dead_letter_routing_key, dead)

    def _route(self, project: Project, exchange: str, routing_key: str, envelope: Envelope) -> Sequence[str] | None:
        """Return the queues that a dead letter is routed to; None without such an exchange."""
        if not exchange:
            return (routing_key,)
        router = self._routers.get(project)
        if router is None:
            router = self._routers[project] = Router(self._bindings, project)
        try:
            return router.route(exchange, routing_key, envelope["headers"])
        except ExchangeDoesNotExist:
            return None


def dead_letter_envelope(body: Any, origin: DeadLetter) -> Envelope:
    """Return the envelope of a dead letter: its death is added to its headers, its expiration is removed."""
    envelope = dict(envelopes.enveloped(body, origin["queue"]))
    properties = {name: value for name, value in envelope["properties"].items() if name != "expiration"}
    envelope["headers"] = headers_of(envelope, origin)
    envelope["properties"] = properties
    return envelope


def headers_of(envelope: Envelope, origin: DeadLetter) -> dict[str, Any]:
    """Return the headers of an envelope with one more death; the same death is added once."""
    headers: dict[str, Any] = envelope["headers"]
    earlier = _deaths(headers)
    queue, reason = origin["queue"], RABBITMQ_REASONS.get(origin["reason"], origin["reason"])
    same = next((death for death in earlier if (death.get("queue"), death.get("reason")) == (queue, reason)), None)
    if same is not None and same.get("time") == origin["time"]:
        return headers
    exchange = envelope.get("exchange") or ""
    death = {
        "queue": queue,
        "reason": reason,
        "count": 1 + (same.get("count", 1) if same else 0),
        "time": origin["time"],
        "exchange": exchange,
        "routing-keys": [envelope.get("routing-key")],
    }
    expiration = envelope["properties"].get("expiration")
    if expiration is not None:
        death["original-expiration"] = str(expiration)
    this = {"queue": queue, "reason": reason, "exchange": exchange}
    first = {} if "x-first-death-queue" in headers else {f"x-first-death-{name}": this[name] for name in this}
    last = {f"x-last-death-{name}": this[name] for name in this}
    return {**headers, **first, **last, "x-death": [death, *(other for other in earlier if other is not same)]}


def restore_address(queue: str, body: Any) -> Any:
    """Return the body of a dead letter that is redriven to ``queue``, with the address by which it first came there.

    A task's retry is sent to the address of its message, which must not be the dead-letter queue. In a queue where the
    message never died, the address is the queue's own. ``x-death`` stays, so that the next death continues its count.
    """
    envelope = envelopes.enveloped(body, queue)
    if envelope is not body:
        return body
    there = next((death for death in _deaths(envelope["headers"]) if death.get("queue") == queue), {})
    keys = there.get("routing-keys") or [queue]
    return {**envelope, "exchange": there.get("exchange") or "", "routing-key": keys[0]}


def _deaths(headers: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the well-formed deaths in ``x-death``, which another program may have filled with anything."""
    deaths = headers.get("x-death")
    return [death for death in deaths if _is_death(death)] if isinstance(deaths, list) else []


def _is_death(death: Any) -> bool:
    if not isinstance(death, dict):
        return False
    count, keys = death.get("count", 1), death.get("routing-keys", [])
    return (
        isinstance(death.get("queue"), str)
        and isinstance(death.get("reason"), str)
        and isinstance(count, int)
        and isinstance(death.get("exchange") or "", str)
        and isinstance(keys or [], list)
        and all(isinstance(key, str) for key in keys or [])
    )


def _would_cycle(envelope: Envelope, queue: str) -> bool:
    """Return whether the message left that queue before, and all its deaths since were automatic."""
    for death in _deaths(envelope["headers"]):
        if death["reason"] not in _AUTOMATIC:
            return False
        if death["queue"] == queue:
            return True
    return False
