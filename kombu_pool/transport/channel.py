"""A channel: AMQP's methods, in terms of the catalog, the messages and the claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.transport.base import StdChannel

from kombu_pool.transport.consume.consuming import ConsumingMethods
from kombu_pool.transport.consume.deliveries import Message as DeliveredMessage
from kombu_pool.transport.declare.declarations import DeclarationMethods
from kombu_pool.transport.publish.publishing import PublishingMethods

if TYPE_CHECKING:
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
        broker, options = connection.broker, connection.options
        self._project = options.project
        DeclarationMethods.__init__(
            self,
            connection.id,
            broker.queues,
            broker.control.bindings_controller,
            broker.router,
            connection.exclusive,
            broker.settlement.flush,
        )
        PublishingMethods.__init__(
            self,
            connection.client,
            options,
            broker.data.message_controller.post,
            broker.router.route,
            connection.epoch,
            broker.dead_letters.publish_refused,
        )
        ConsumingMethods.__init__(
            self, connection.dispatcher, broker.settlement, broker.renewal, options, connection.require_open
        )
        connection.channels.append(self)

    @property
    def client(self) -> Any:
        """The Kombu connection."""
        return self.connection.client

    @property
    def is_open(self) -> bool:
        """Whether the channel is open."""
        return not self.closed

    def message_to_python(self, message: DeliveredMessage) -> DeliveredMessage:
        """Return the message for a consumer, unchanged: a delivery is one already."""
        return message

    def close(self) -> None:
        """Cancel the consumers and release at once all that is not acknowledged. Idempotent."""
        if self.closed:
            return
        self.closed = True
        if self in self.connection.channels:
            self.connection.channels.remove(self)
        self.stop()

    def __repr__(self) -> str:
        return f"<Channel {self.channel_id} of {self.connection.id}>"
