"""A channel's half that declares: exchanges, queues, and what is bound to what."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from amqp.exceptions import NotFound, PreconditionFailed
from kombu.transport.base import to_rabbitmq_queue_arguments

from kombu_pool.errors import ExchangeDoesNotExist
from kombu_pool.transport.declare.exchanges import TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.transport.connection import PoolConnection
    from kombu_pool.transport.declare.queues import Declared

EXCHANGE_DECLARE, QUEUE_BIND, QUEUE_DELETE = (40, 10), (50, 20), (50, 40)


class DeclarationMethods:
    """``exchange.*`` and ``queue.*``."""

    def __init__(self, connection: PoolConnection) -> None:
        self._owner = connection
        self._queues = connection.broker.queues
        self._bindings = connection.broker.control.bindings_controller
        self._router = connection.broker.router
        self._tenant = connection.options.project

    def exchange_declare(
        self,
        exchange: str | None = None,
        type: str = "direct",
        durable: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        passive: bool = False,
        **options: Any,
    ) -> None:
        """Declare an exchange.

        Raises:
            NotFound: ``passive``, and there is none.
            PreconditionFailed: there is one, of another type; or there is no such type.
        """
        if not exchange:
            return
        if passive:
            self._exchange(exchange, "exchange_declare")
            return
        if type not in TYPES:
            raise PreconditionFailed(
                f"PRECONDITION_FAILED - no exchange type '{type}'; there are {', '.join(sorted(TYPES))}",
                EXCHANGE_DECLARE,
                "Channel.exchange_declare",
            )
        if self._bindings.create_exchange(exchange, type, durable, auto_delete, arguments, self._tenant):
            self._router.forget(exchange)
            return
        there = self._exchange(exchange, "exchange_declare")["type"]
        if there != type:
            raise PreconditionFailed(
                f"PRECONDITION_FAILED - exchange '{exchange}' is of type '{there}', not '{type}'",
                EXCHANGE_DECLARE,
                "Channel.exchange_declare",
            )

    def _exchange(self, exchange: str, method: str) -> Any:
        self._router.predeclare(exchange)
        try:
            return self._bindings.get_exchange(exchange, self._tenant)
        except ExchangeDoesNotExist as error:
            raise NotFound(
                f"NOT_FOUND - no exchange '{exchange}' here", EXCHANGE_DECLARE, f"Channel.{method}"
            ) from error

    def exchange_delete(self, exchange: str, if_unused: bool = False, nowait: bool = False) -> None:
        """Delete an exchange and its bindings; the queues stay.

        Raises:
            PreconditionFailed: ``if_unused``, and something is bound to it.
        """
        if if_unused and self._bindings.list(exchange, self._tenant):
            raise PreconditionFailed(
                f"PRECONDITION_FAILED - exchange '{exchange}' in use", EXCHANGE_DECLARE, "Channel.exchange_delete"
            )
        self._bindings.delete_exchange(exchange, self._tenant)
        self._router.forget(exchange)

    def exchange_bind(
        self,
        destination: str,
        source: str = "",
        routing_key: str = "",
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Lead messages from one exchange to another."""
        self._bind(source, destination, routing_key, arguments, "exchange")

    def exchange_unbind(
        self,
        destination: str,
        source: str = "",
        routing_key: str = "",
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Undo :meth:`exchange_bind`."""
        self._unbind(source, destination, routing_key, arguments, "exchange")

    def queue_declare(
        self,
        queue: str | None = None,
        passive: bool = False,
        durable: bool = True,
        exclusive: bool = False,
        auto_delete: bool = False,
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Declared:
        """Declare a queue: register it in the catalog and create it in its pool; without a name, it gets one.

        Returns:
            (name, free messages, consumers).

        Raises:
            NotFound: ``passive``, and there is none.
            PreconditionFailed, ResourceLocked: there is one, declared otherwise or another connection's.
        """
        name = queue or f"amq.gen-{uuid.uuid4().hex}"
        if passive:
            self._queues.require(name, self._owner.id, "queue_declare")
            return self._queues.counts(name)
        if exclusive:
            self._owner.require_open()
        self._queues.declare(
            name,
            self._owner.id,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            arguments=arguments or {},
        )
        if exclusive:
            self._owner.exclusive.add(name)
        return self._queues.counts(name)

    def queue_bind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        **options: Any,
    ) -> None:
        """Lead messages from an exchange to a queue.

        Raises:
            NotFound: there is no such queue or exchange.
        """
        if not exchange:
            return
        self._queues.require(queue, self._owner.id, "queue_bind")
        self._bind(exchange, queue, routing_key, arguments, "queue")

    def queue_unbind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        **options: Any,
    ) -> None:
        """Undo :meth:`queue_bind`. Idempotent."""
        if exchange:
            self._unbind(exchange, queue, routing_key, arguments, "queue")

    def _bind(
        self, exchange: str, destination: str, routing_key: str, arguments: Mapping[str, Any] | None, kind: str
    ) -> None:
        self._router.predeclare(exchange, *([destination] if kind == "exchange" else []))
        try:
            self._bindings.bind(exchange, destination, routing_key or "", arguments, kind, self._tenant)
        except ExchangeDoesNotExist as error:
            raise NotFound(
                f"NOT_FOUND - no exchange '{error.exchange}' here", QUEUE_BIND, f"Channel.{kind}_bind"
            ) from error
        self._router.forget(exchange)

    def _unbind(
        self, exchange: str, destination: str, routing_key: str, arguments: Mapping[str, Any] | None, kind: str
    ) -> None:
        self._bindings.unbind(exchange, destination, routing_key or "", arguments, kind, self._tenant)
        self._router.forget(exchange)
        self._queues.delete_unbound(exchange, project=self._tenant)

    def queue_purge(self, queue: str, nowait: bool = False, **options: Any) -> int:
        """Delete the messages of a queue that nobody holds, and return how many they were.

        Raises:
            NotFound: there is no such queue.
        """
        self._queues.require(queue, self._owner.id, "queue_purge")
        return self._queues.purge(queue)

    def queue_delete(
        self, queue: str, if_unused: bool = False, if_empty: bool = False, nowait: bool = False, **options: Any
    ) -> int:
        """Delete a queue with its messages and bindings, and return how many free messages it had. Idempotent.

        Raises:
            PreconditionFailed: ``if_unused`` and it has a consumer, or ``if_empty`` and it has a message, be it
                delayed or held by a consumer.
            ResourceLocked: it is another connection's.
        """
        try:
            self._queues.require(queue, self._owner.id, "queue_delete")
        except NotFound:
            return 0
        # What was acknowledged before must not look like a late acknowledgement after.
        self._owner.broker.settlement.flush()
        there = self._queues.counts(queue)
        for refused, why in (
            (if_unused and there.consumer_count, "in use"),
            (if_empty and self._queues.total(queue), "not empty"),
        ):
            if refused:
                raise PreconditionFailed(
                    f"PRECONDITION_FAILED - queue '{queue}' {why}", QUEUE_DELETE, "Channel.queue_delete"
                )
        self._queues.delete(queue)
        self._owner.exclusive.discard(queue)
        return there.message_count

    def prepare_queue_arguments(self, arguments: Mapping[str, Any] | None, **options: Any) -> Mapping[str, Any]:
        """Return queue arguments with those that Kombu's ``Queue`` names in its own words."""
        prepared: Mapping[str, Any] = to_rabbitmq_queue_arguments(arguments or {}, **options)
        return prepared

    def get_bindings(self) -> list[tuple[str, str, str]]:
        """Return (queue or exchange, exchange, routing key) of every binding of the project."""
        return [
            (binding["destination"], binding["exchange"], binding["routing_key"])
            for binding in self._bindings.list(None, self._tenant)
        ]

    def _size(self, queue: str) -> int:
        """Return the queue's free messages, under the name by which Celery and Flower ask."""
        return self._queues.counts(queue).message_count
