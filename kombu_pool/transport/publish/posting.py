"""Routes the messages of a channel, and posts them to their queues."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import ExchangeDoesNotExist, KombuPoolError, QueueDoesNotExist, QueueIsFull
from kombu_pool.transport import amqp_errors, zero_ttl
from kombu_pool.transport.publish import deduplication
from kombu_pool.transport.publish import envelope as envelopes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu_pool.model import IdempotencyKey, KeyResult, NewMessage, Project
    from kombu_pool.transport.declare.declared_queues import DeclaredQueues
    from kombu_pool.transport.declare.exchanges import Router
    from kombu_pool.transport.declare.queues import Queues
    from kombu_pool.transport.options import TransportOptions
    from kombu_pool.transport.publish.envelope import Envelope

#: The end of the names of the exchanges of Kombu's mailboxes.
MAILBOXES = ".pidbox"
logger = logging.getLogger(__name__)


class PostingMethods:
    """The steps of a publish, which a batch and a buffer take one by one."""

    events: dict[str, set[Callable[..., Any]]]
    _project: Project
    _options: TransportOptions
    _router: Router
    _declared: DeclaredQueues
    _queues: Queues
    #: These raise ConnectionError if something is missing because the control store lost its data.
    _check_epoch: Callable[[], None]
    _check_epoch_periodically: Callable[[], None]
    _place_of: Callable[[str, Project], str | None]
    _post: Callable[..., Sequence[str]]
    _cancel_many: Callable[..., KeyResult]
    #: Raises RecoverableConnectionError if the channel or its connection is closed.
    require_open: Callable[[], None]
    _publish_refused: Callable[[Project, str, Sequence[NewMessage]], None]

    def routed(
        self, message: Any, exchange: str, routing_key: str, mandatory: bool = False, **_: Any
    ) -> tuple[NewMessage, Sequence[str]]:
        """Return a message as it is posted, and the queues that it is routed to."""
        if type(message) is not dict or "properties" not in message:
            message = envelopes.of_serialized(message, routing_key, exchange)
        else:
            message["exchange"] = exchange
            message["routing-key"] = routing_key
        options = self._options
        new = envelopes.new_message(message, delay_eta=options.delay_eta, zero_is_highest=options.zero_is_highest)
        if deduplication.ID_HEADER in message["headers"]:
            new["unique"] = deduplication.uniqueness(message["headers"])
        if not exchange:
            return new, (routing_key,)
        try:
            queues = self._router.route(exchange, routing_key, message["headers"])
        except ExchangeDoesNotExist as error:
            self._check_epoch()
            raise amqp_errors.no_exchange(exchange, "basic_publish") from error
        self._declared.require_bound(exchange)
        if exchange.endswith(MAILBOXES):
            # Kombu sends commands without the delivery mode of the exchange.
            new["transient"] = True
        if not queues:
            self._check_epoch_periodically()
            self._return(message, mandatory)
        return new, queues

    def post(
        self,
        queue: str,
        messages: Sequence[NewMessage],
        mandatory: bool = False,
        idempotency_key: IdempotencyKey | None = None,
        *,
        in_pieces: bool = False,
    ) -> None:
        """Post messages to a queue; an absent queue stores none, as in AMQP.

        ``in_pieces``: several messages that are refused together are posted one by one next, so this is no refusal yet.

        Raises:
            MessageNacked: the queue is full and refuses them.
            QueueIsFull: the same of several messages, with ``in_pieces``.
            InvalidMessage: a message cannot be stored.
        """
        if zero_ttl.is_among(messages) and not self._has_consumer(queue):
            messages = zero_ttl.without_consumer(messages)
        try:
            ids = self._post(queue, messages, None, self._project, idempotency_key=idempotency_key)
            deduplication.report(ids)
        except QueueIsFull as error:
            if in_pieces and len(messages) > 1:
                raise
            self._publish_refused(self._project, queue, messages)
            raise amqp_errors.nacked(queue) from error
        except QueueDoesNotExist:
            self._check_epoch()
            self._declared.require(queue)
            for message in messages:
                self._return(message["body"], mandatory)

    def place_of(self, queue: str) -> str | None:
        """Return the pool of a queue, or the part of it; None if it has none."""
        return self._place_of(queue, self._project)

    def _has_consumer(self, queue: str) -> bool:
        try:
            return self._queues.has_consumer(queue)
        except KombuPoolError:
            return True

    def _return(self, envelope: Envelope, mandatory: bool) -> None:
        """Return an unroutable message to its producer if it is mandatory; drop it otherwise."""
        exchange, routing_key = envelope["exchange"], envelope["routing-key"]
        if not mandatory:
            logger.debug("A message to exchange %r with key %r is unroutable and dropped", exchange, routing_key)
            return
        error = amqp_errors.no_route()
        for listener in tuple(self.events["basic_return"]):
            listener(error, exchange, routing_key, envelope)
