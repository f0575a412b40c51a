"""A channel: AMQP's methods, in terms of the catalog, the messages and the claims."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from amqp.exceptions import RecoverableConnectionError
from kombu.transport.base import StdChannel

from kombu_pool.transport.consume.consuming import ConsumingMethods
from kombu_pool.transport.consume.deliveries import Message as DeliveredMessage
from kombu_pool.transport.declare.declarations import DeclarationMethods
from kombu_pool.transport.publish.publishing import PublishingMethods

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.transport.connection import PoolConnection


class Channel(DeclarationMethods, PublishingMethods, ConsumingMethods, StdChannel):  # type: ignore[misc] # Kombu has no types
    """A channel of a :class:`~kombu_pool.transport.connection.PoolConnection`.

    Its methods may be called by one thread at a time, but ``basic_ack`` and ``basic_reject`` by any.
    """

    Message = DeliveredMessage
    supports_batch_publish = True

    def __init__(self, connection: PoolConnection) -> None:
        self.connection = connection
        self.channel_id = next(connection.channel_ids)
        #: The Kombu connection.
        self.client = connection.client
        #: Called with (error, exchange, routing key, message) for a mandatory message that is unroutable.
        self.events: defaultdict[str, set[Callable[..., Any]]] = defaultdict(set)
        self._owner = connection.id
        self._exclusive = connection.exclusive
        self._declared = connection.declared
        self._dispatcher = connection.dispatcher
        self._check_epoch = connection.epoch.require
        self._check_epoch_periodically = connection.epoch.require_periodically
        self._options = connection.options
        self._project = connection.options.project
        broker = connection.broker
        self._queues = broker.queues
        self._bindings = broker.control.bindings_controller
        self._router = broker.router
        self._post = broker.data.message_controller.post
        self._cancel_many = broker.data.message_controller.cancel_many
        self._place_of = broker.data.catalog.place_of
        self._publish_refused = broker.dead_letters.publish_refused
        self._renewal = broker.renewal
        self._settlement = broker.settlement
        self._flush_acks = broker.settlement.flush
        super().__init__()
        connection.channels.append(self)

    @property
    def is_open(self) -> bool:
        """Whether the channel is open."""
        return not self.closed

    def require_open(self) -> None:
        """Raise RecoverableConnectionError if the channel or its connection is closed, or belongs to a parent process.

        Nothing would renew or deliver what such a channel claims.
        """
        if self.closed:
            raise RecoverableConnectionError("The channel is closed: open another one")
        self.connection.require_open()

    def close(self) -> None:
        """Cancel the consumers and release at once all that is not acknowledged. Idempotent."""
        if self in self.connection.channels:
            self.connection.channels.remove(self)
        super().close()

    def __repr__(self) -> str:
        return f"<Channel {self.channel_id} of {self.connection.id}>"
