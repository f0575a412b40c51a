"""Dead letters as AMQP has them: published to the exchange of their queue, with ``x-death`` saying what they died of.

``x-death`` is a list of tables, the last death first: ``queue``, ``reason``, ``count`` (how often it died there of
that), ``time`` (seconds since the epoch), ``exchange`` and ``routing-keys`` (how it came there), and the
``original-expiration``. The headers ``x-first-death-*`` and ``x-last-death-*`` say ``queue``, ``reason`` and
``exchange`` of the first and the last.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import ExchangeDoesNotExist, QueueDoesNotExist
from kombu_pool.storage import DeadLetterHooks
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.policy import policy as policy_of
from kombu_pool.transport.declare.exchanges import Router
from kombu_pool.transport.declare.queue_arguments import DECLARED, OVERDUE, buries_refused
from kombu_pool.transport.publish import envelope as envelopes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu_pool.model import DeadLetter, NewMessage, Project
    from kombu_pool.storage import ControlDriver, DataDriver
    from kombu_pool.transport.publish.envelope import Envelope

logger = logging.getLogger(__name__)

#: Where a message ends that was delivered too often from a queue without a dead-letter exchange.
DEFAULT_DEAD_LETTER_QUEUE = "kombu_pool.dead_letters"
#: RabbitMQ's words for reasons of ours.
WORDS = {DeadLetterReason.DELIVERY_LIMIT: "delivery_limit"}
_BY_THEMSELVES = frozenset({DeadLetterReason.EXPIRED, DeadLetterReason.MAX_LENGTH})


class DeadLetterPublisher:
    """Publishes dead letters for the stores, which know no exchanges."""

    def __init__(self, data: Callable[[], DataDriver], control: ControlDriver) -> None:
        self._data = data
        self._bindings = control.bindings_controller
        self._routers: dict[Project, Router] = {}
        self.hooks = DeadLetterHooks(publish=self.publish, restore_address=restore_address)

    def publish(self, project: Project, exchange: str, routing_key: str | None, message: NewMessage) -> bool:
        """Store a dead letter in every queue that takes it; False when there is none.

        Raises:
            KombuPoolError: a queue that should take it is out of reach, or full.
        """
        origin = message["dead_letter"]
        envelope = buried(message["body"], origin)
        if exchange == OVERDUE:
            return self._keep(project, envelope, message)
        key = envelope["routing-key"] if routing_key is None else routing_key
        queues = [queue for queue in self._route(project, exchange, key, envelope) if not _goes_round(envelope, queue)]
        envelope["exchange"], envelope["routing-key"] = exchange, key
        letter: NewMessage = {**message, "ttl": None, "body": envelope}
        return any([self._post(project, queue, letter) for queue in queues])  # noqa: C419 - to each of them

    def refuse(self, project: Project, queue: str, messages: Sequence[NewMessage]) -> None:
        """Dead-letter what a full queue refused, if it was declared to do so."""
        try:
            metadata = self._data().queue_controller.get_metadata(queue, project)
        except QueueDoesNotExist:
            return
        policy = policy_of(metadata)
        if policy.dead_letter_exchange is None or not buries_refused(metadata.get(DECLARED, {}).get("arguments", {})):
            return
        origin: DeadLetter = {"queue": queue, "reason": DeadLetterReason.MAX_LENGTH, "time": time.time(), "count": 0}
        for message in messages:
            letter: NewMessage = {**message, "dead_letter": origin, "delay": 0}
            self.publish(project, policy.dead_letter_exchange, policy.dead_letter_routing_key, letter)

    def _keep(self, project: Project, envelope: Envelope, message: NewMessage) -> bool:
        """Keep what was delivered too often, and nothing else, of a queue that has no exchange for its dead letters."""
        if message["dead_letter"]["reason"] != DeadLetterReason.DELIVERY_LIMIT:
            return False
        letter: NewMessage = {**message, "ttl": None, "body": envelope}
        if not self._post(project, DEFAULT_DEAD_LETTER_QUEUE, letter):
            self._data().queue_controller.create(DEFAULT_DEAD_LETTER_QUEUE, {}, project)
            self._post(project, DEFAULT_DEAD_LETTER_QUEUE, letter)
        logger.warning("A message was delivered too often and ends in queue %r", DEFAULT_DEAD_LETTER_QUEUE)
        return True

    def _route(self, project: Project, exchange: str, routing_key: str, envelope: Envelope) -> Sequence[str]:
        if not exchange:
            return (routing_key,)
        router = self._routers.get(project)
        if router is None:
            router = self._routers[project] = Router(self._bindings, project)
        try:
            return router.route(exchange, routing_key, envelope["headers"])
        except ExchangeDoesNotExist:
            logger.warning("There is no exchange %r to take dead letters", exchange)
            return ()

    def _post(self, project: Project, queue: str, letter: NewMessage) -> bool:
        try:
            self._data().message_controller.post(queue, [letter], None, project)
        except QueueDoesNotExist:
            return False
        return True


def buried(body: Any, origin: DeadLetter) -> Envelope:
    """Return the envelope of a dead letter: with its death told in its headers, and without an expiration."""
    envelope = dict(envelopes.enveloped(body, origin["queue"]))
    properties = {name: value for name, value in envelope["properties"].items() if name != "expiration"}
    envelope["headers"] = headers_of(envelope, origin)
    envelope["properties"] = properties
    return envelope


def headers_of(envelope: Envelope, origin: DeadLetter) -> dict[str, Any]:
    """Return the headers of an envelope with one more death; the same death is told once."""
    headers: dict[str, Any] = envelope["headers"]
    told = headers.get("x-death")
    earlier = [death for death in told if isinstance(death, dict)] if isinstance(told, list) else []
    queue, reason = origin["queue"], WORDS.get(origin["reason"], origin["reason"])
    same = next((death for death in earlier if (death.get("queue"), death.get("reason")) == (queue, reason)), None)
    if same is not None and same.get("time") == origin["time"]:
        return headers
    exchange = envelope.get("exchange") or ""
    death = {
        "queue": queue,
        "reason": reason,
        "count": 1 + (int(same.get("count", 1)) if same else 0),
        "time": origin["time"],
        "exchange": exchange,
        "routing-keys": [envelope.get("routing-key")],
    }
    expiration = envelope["properties"].get("expiration")
    if expiration is not None:
        death["original-expiration"] = str(expiration)
    told_now = {"queue": queue, "reason": reason, "exchange": exchange}
    first = {} if "x-first-death-queue" in headers else {f"x-first-death-{name}": told_now[name] for name in told_now}
    last = {f"x-last-death-{name}": told_now[name] for name in told_now}
    return {**headers, **first, **last, "x-death": [death, *(other for other in earlier if other is not same)]}


def restore_address(queue: str, body: Any) -> Any:
    """Return the body of a letter that goes back to a queue, with the address by which it came there before it died.

    A task that is tried again is sent to where it came from: that shall not be where the dead are. In a queue in which
    it never died it has that queue's own address. Its ``x-death`` stays, so that the next death counts on.
    """
    envelope = envelopes.enveloped(body, queue)
    if envelope is not body:
        return body
    told = envelope["headers"].get("x-death")
    deaths = [death for death in told if isinstance(death, dict)] if isinstance(told, list) else []
    there = next((death for death in deaths if death.get("queue") == queue), {})
    keys = there.get("routing-keys") or [queue]
    return {**envelope, "exchange": there.get("exchange") or "", "routing-key": keys[0]}


def _goes_round(envelope: Envelope, queue: str) -> bool:
    """Tell whether the message was in that queue before, and went on by itself since: it would go round for ever."""
    for death in envelope["headers"].get("x-death", ()):
        if death["reason"] not in _BY_THEMSELVES:
            return False
        if death["queue"] == queue:
            return True
    return False
