"""The half of a channel that publishes."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Protocol

from kombu_pool.errors import (
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    ExchangeDoesNotExist,
    InvalidMessage,
    QueueDoesNotExist,
    QueueIsFull,
)
from kombu_pool.transport import amqp_errors
from kombu_pool.transport.publish import buffer as buffers
from kombu_pool.transport.publish import envelope as envelopes
from kombu_pool.transport.publish import unconfirmed
from kombu_pool.transport.publish.batch import PublishBatch
from kombu_pool.transport.publish.unconfirmed import UnconfirmedPublish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kombu_pool.model import IdempotencyKey, NewMessage, Project
    from kombu_pool.transport.options import TransportOptions
    from kombu_pool.transport.publish.envelope import Envelope

logger = logging.getLogger(__name__)


class EpochCheck(Protocol):
    """Raises ConnectionError if a queue or exchange is missing because the control store lost its data."""

    def require(self) -> None:
        """Check now."""

    def require_periodically(self) -> None:
        """Check unless that was done a moment ago."""


class PublishingMethods:
    """``basic.publish`` and what belongs to it."""

    _project: Project

    def __init__(
        self,
        client: Any,
        options: TransportOptions,
        post: Callable[..., Sequence[str]],
        route: Callable[[str, str, Mapping[str, Any]], Sequence[str]],
        epoch: EpochCheck,
        publish_refused: Callable[[Project, str, Sequence[NewMessage]], None],
    ) -> None:
        #: Called with (error, exchange, routing key, message) for a mandatory message that is unroutable.
        self.events: defaultdict[str, set[Callable[..., Any]]] = defaultdict(set)
        self._kombu_connection = client
        self._store_identity = options.identity
        self._delay_eta = options.delay_eta
        self._batch_groups = options.batch_groups
        self._post = post
        self._route = route
        self._epoch = epoch
        self._publish_refused = publish_refused

    def prepare_message(
        self,
        body: Any,
        priority: int | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
    ) -> Envelope:
        """Return the envelope that :meth:`basic_publish` takes."""
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
        """Publish a message: every queue that it is routed to has stored it when this returns, unless it is buffered.

        ``message`` is what :meth:`prepare_message` returned, or a text or bytes. ``immediate`` and the timeouts among
        ``options`` have no effect: the store's answer confirms a post, and the store's own timeouts bound it.

        Raises:
            NotFound: there is no such exchange.
            PoolUnavailable: a store did not answer; the message may be stored. Published again, it is stored once.
            MessageNacked: a queue is full and refuses it; other queues may have stored it.
            ConnectionError: the control store lost all that it held, the exchange or the queue with it.
            InvalidMessage: the message cannot be stored.
        """
        buffer = buffers.current.get()
        if buffer is not None and buffer.accepts(self._kombu_connection, self._batch_groups):
            if not mandatory:
                buffer.add(self, message, exchange, routing_key)
                return
            buffer.flush(self)
        new, queues = self.routed(message, exchange, routing_key, mandatory=mandatory)
        earlier = unconfirmed.find(message, self._store_identity)
        if earlier is not None:
            self._publish_again(earlier, new, queues, mandatory)
            return
        sequence, stored = unconfirmed.acquire_sequence(), 0
        try:
            for queue in queues:
                self.post(queue, (new,), mandatory=mandatory, idempotency_key=sequence.next_key())
                stored += 1
        except ConnectionError:
            publish = UnconfirmedPublish(new["body"], self._store_identity, sequence)
            publish.record(queues[:stored], queues[stored], sequence.last_key())
            publish.remember()
            raise
        except Exception:
            unconfirmed.release_sequence(sequence)
            raise
        unconfirmed.release_sequence(sequence)

    def _publish_again(
        self, earlier: UnconfirmedPublish, new: NewMessage, queues: Sequence[str], mandatory: bool
    ) -> None:
        """Publish a message again to the queues that have not confirmed it, with the keys of the first try."""
        try:
            for queue in queues:
                if queue not in earlier.stored:
                    self.post(queue, (new,), mandatory=mandatory, idempotency_key=earlier.key_for(queue))
                    earlier.stored.add(queue)
        except ConnectionError:
            raise
        except Exception:
            earlier.forget()
            raise
        earlier.forget()
        unconfirmed.release_sequence(earlier.sequence)

    def routed(
        self, message: Any, exchange: str, routing_key: str, mandatory: bool = False, **options: Any
    ) -> tuple[NewMessage, Sequence[str]]:
        """Return a message as it is posted, and the queues that it is routed to."""
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
            self._epoch.require()
            raise amqp_errors.no_exchange(exchange, "basic_publish") from error
        if not queues:
            self._epoch.require_periodically()
            self._return(message, mandatory)
        return new, queues

    def post(
        self,
        queue: str,
        messages: Sequence[NewMessage],
        mandatory: bool = False,
        idempotency_key: IdempotencyKey | None = None,
        *,
        one_by_one: bool = False,
    ) -> None:
        """Post messages to a queue; an absent queue stores none, as in AMQP.

        ``one_by_one``: if one is refused, those before it are stored, as if each had been posted alone.

        Raises:
            MessageNacked: the queue is full and refuses them.
            InvalidMessage: a message cannot be stored.
        """
        try:
            self._post(queue, messages, None, self._project, idempotency_key=idempotency_key)
        except (QueueIsFull, InvalidMessage) as error:
            if one_by_one and len(messages) > 1:
                for message in messages:
                    self.post(queue, (message,), mandatory)
            elif isinstance(error, QueueIsFull):
                self._publish_refused(self._project, queue, messages)
                raise amqp_errors.nacked(queue) from error
            else:
                raise
        except QueueDoesNotExist:
            self._epoch.require()
            for message in messages:
                self._return(message["body"], mandatory)

    def _return(self, envelope: Envelope, mandatory: bool) -> None:
        """Return an unroutable message to its producer if it is mandatory; drop it otherwise."""
        exchange, routing_key = envelope["exchange"], envelope["routing-key"]
        if not mandatory:
            logger.debug("A message to exchange %r with key %r is unroutable and dropped", exchange, routing_key)
            return
        error = amqp_errors.no_route()
        for listener in tuple(self.events["basic_return"]):
            listener(error, exchange, routing_key, envelope)

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        """Return a batch for ``Producer.batch`` to fill."""
        return PublishBatch(self, max_size)
