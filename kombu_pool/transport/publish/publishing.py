"""A channel's half that publishes."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from amqp.exceptions import ChannelError, MessageNacked, NotFound

from kombu_pool.errors import (
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    ExchangeDoesNotExist,
    InvalidMessage,
    QueueDoesNotExist,
    QueueIsFull,
)
from kombu_pool.transport.publish import buffer as gatherings
from kombu_pool.transport.publish import envelope as envelopes
from kombu_pool.transport.publish import unconfirmed
from kombu_pool.transport.publish.batch import PublishBatch
from kombu_pool.transport.publish.unconfirmed import Doubt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu_pool.model import IdempotencyKey, NewMessage
    from kombu_pool.transport.connection import PoolConnection
    from kombu_pool.transport.publish.envelope import Envelope

logger = logging.getLogger(__name__)


class PublishingMethods:
    """``basic.publish`` and what belongs to it."""

    def __init__(self, connection: PoolConnection) -> None:
        #: Called with (error, exchange, routing key, message) for a mandatory message that no queue takes.
        self.events: defaultdict[str, set[Callable[..., Any]]] = defaultdict(set)
        self._project = connection.options.project
        self._where = connection.options.identity
        self._delay_eta = connection.options.delay_eta
        self._link = connection
        self._post = connection.broker.data.message_controller.post
        self._route = connection.broker.router.route

    def prepare_message(
        self,
        body: Any,
        priority: int | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
    ) -> Envelope:
        """Return what :meth:`basic_publish` takes."""
        if properties is None:
            properties = {}
        if priority is not None:
            properties["priority"] = priority
        return {
            "body": body,
            "content-type": content_type,
            "content-encoding": content_encoding,
            "headers": headers or {},
            "properties": properties,
        }

    def basic_publish(
        self,
        message: Any,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = False,
        immediate: bool = False,
        **options: Any,
    ) -> None:
        """Publish a message: it is stored in every queue that takes it when this returns, unless it is gathered.

        ``message`` is what :meth:`prepare_message` returned, or a text or bytes. ``immediate`` and the timeouts among
        ``options`` say nothing here: a post is confirmed by the store's answer, which the store's own limits bound.

        Raises:
            NotFound: there is no such exchange.
            PoolUnavailable: a store did not answer; the message may be stored. Published again, it is stored once.
            MessageNacked: a queue is full and refuses more; others that take it may have it.
            ConnectionError: the control store lost all that it held, the exchange or the queue with it.
            InvalidMessage: it cannot be stored.
        """
        gathering = gatherings.current.get()
        if gathering is not None and gathering.takes(self._link):
            if not mandatory:
                gathering.add(self, message, exchange, routing_key)
                return
            gathering.flush(self)
        new, queues = self.routed(message, exchange, routing_key, mandatory=mandatory)
        doubt = unconfirmed.find(message, self._where)
        if doubt is not None:
            self._publish_again(doubt, new, queues, mandatory)
            return
        poster, stored = unconfirmed.poster(), 0
        try:
            for queue in queues:
                self.post(queue, (new,), mandatory=mandatory, idempotency_key=poster.idempotency_key())
                stored += 1
        except ConnectionError:
            doubt = Doubt(new["body"], self._where, poster)
            doubt.note(queues[:stored], queues[stored], poster.last_ticket())
            doubt.remember()
            raise
        except Exception:
            unconfirmed.give_back(poster)
            raise
        unconfirmed.give_back(poster)

    def _publish_again(self, doubt: Doubt, new: NewMessage, queues: Sequence[str], mandatory: bool) -> None:
        """Publish a message that failed to those queues that have not got it, for all that is known."""
        try:
            for queue in queues:
                if queue not in doubt.stored:
                    self.post(queue, (new,), mandatory=mandatory, idempotency_key=doubt.idempotency_key(queue))
                    doubt.stored.add(queue)
        except ConnectionError:
            raise
        except Exception:
            doubt.forget()
            raise
        doubt.forget()
        unconfirmed.give_back(doubt.poster)

    def routed(
        self, message: Any, exchange: str, routing_key: str, mandatory: bool = False, **options: Any
    ) -> tuple[NewMessage, Sequence[str]]:
        """Return a message as it is to be posted, and the queues that take it."""
        if type(message) is not dict:
            message = envelopes.wrap(message, routing_key, exchange)
        else:
            message["exchange"] = exchange
            message["routing-key"] = routing_key
        new = envelopes.new_message(message, delay_eta=self._delay_eta)
        if not exchange:
            return new, (routing_key,)
        try:
            queues = self._route(exchange, routing_key, message["headers"])
        except ExchangeDoesNotExist as error:
            self._link.memory.require()
            raise NotFound(f"NOT_FOUND - no exchange '{exchange}' here", (60, 40), "Channel.basic_publish") from error
        if not queues:
            self._link.memory.require_now_and_then()
            self._unroutable(message, mandatory)
        return new, queues

    def post(
        self,
        queue: str,
        messages: Sequence[NewMessage],
        mandatory: bool = False,
        idempotency_key: IdempotencyKey | None = None,
        *,
        apart: bool = False,
    ) -> None:
        """Post messages to a queue; one that is gone takes none, as in AMQP.

        ``apart``: those before one that is refused are stored, as if each had been posted by itself.

        Raises:
            MessageNacked: it is full and refuses more.
            InvalidMessage: one cannot be stored.
        """
        try:
            self._post(queue, messages, None, self._project, idempotency_key=idempotency_key)
        except (QueueIsFull, InvalidMessage) as error:
            if apart and len(messages) > 1:
                for message in messages:
                    self.post(queue, (message,), mandatory)
            elif isinstance(error, QueueIsFull):
                self._link.broker.dead_letters.refuse(self._project, queue, messages)
                raise MessageNacked(f"NACK - queue '{queue}' is full and takes no more") from error
            else:
                raise
        except QueueDoesNotExist:
            self._link.memory.require()
            for message in messages:
                self._unroutable(message["body"], mandatory)

    def _unroutable(self, envelope: Envelope, mandatory: bool) -> None:
        exchange, routing_key = envelope["exchange"], envelope["routing-key"]
        if not mandatory:
            logger.debug("No queue takes what was published to exchange %r with key %r", exchange, routing_key)
            return
        error = ChannelError("NO_ROUTE", (60, 50), "basic.return", 312)
        for listener in tuple(self.events["basic_return"]):
            listener(error, exchange, routing_key, envelope)

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        """Return a batch for ``Producer.batch`` to fill."""
        return PublishBatch(self, max_size)
