"""The half of a channel that declares exchanges, queues and bindings."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from amqp.exceptions import NotFound
from kombu.transport.base import to_rabbitmq_queue_arguments

from kombu_pool.errors import ExchangeDoesNotExist, KombuPoolError, QueueDoesNotExist
from kombu_pool.transport.amqp_errors import no_exchange, no_queue, precondition_failed
from kombu_pool.transport.declare.declared_queues import gone
from kombu_pool.transport.declare.exchanges import TYPES
from kombu_pool.transport.zero_ttl import is_zero_ttl_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kombu_pool.model import Metadata, Project
    from kombu_pool.storage import BindingsController
    from kombu_pool.transport.declare.declared_queues import DeclaredQueues
    from kombu_pool.transport.declare.exchanges import Router
    from kombu_pool.transport.declare.queues import Declared, Queues


class DeclarationMethods:
    """``exchange.*`` and ``queue.*``."""

    #: The id of the connection, which owns the exclusive queues that it declares.
    _owner: str
    _exclusive: set[str]
    _project: Project
    _queues: Queues
    _bindings: BindingsController
    _router: Router
    _declared: DeclaredQueues
    #: Raises ConnectionError if something is missing because the control store lost its data.
    _check_epoch: Callable[[], None]
    #: Sends every queued acknowledgement.
    _flush_acks: Callable[[], None]
    #: Raises RecoverableConnectionError if nothing would renew what the channel owns.
    require_open: Callable[[], None]

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
            NotFound: ``passive``, and the exchange does not exist.
            PreconditionFailed: it exists with another type; or there is no such type.
        """
        if not exchange:
            return
        if passive:
            self._exchange(exchange, "exchange_declare")
            return
        if type not in TYPES:
            raise precondition_failed(
                f"no exchange type '{type}'; there are {', '.join(sorted(TYPES))}", "exchange_declare"
            )
        there = self._type_of(exchange)
        if there is None:
            if self._bindings.create_exchange(exchange, type, durable, auto_delete, arguments, self._project):
                self._router.forget(exchange)
                return
            there = self._exchange(exchange, "exchange_declare")["type"]
        if there != type:
            raise precondition_failed(f"exchange '{exchange}' is of type '{there}', not '{type}'", "exchange_declare")

    def _type_of(self, exchange: str) -> str | None:
        try:
            there: str = self._bindings.get_exchange(exchange, self._project)["type"]
        except ExchangeDoesNotExist:
            return None
        return there

    def _exchange(self, exchange: str, method: str) -> Any:
        self._router.predeclare(exchange)
        try:
            return self._bindings.get_exchange(exchange, self._project)
        except ExchangeDoesNotExist as error:
            raise no_exchange(exchange, method) from error

    def exchange_delete(self, exchange: str, if_unused: bool = False, nowait: bool = False) -> None:
        """Delete an exchange and its bindings, but no queue.

        Raises:
            PreconditionFailed: ``if_unused``, and it has bindings.
        """
        if if_unused and self._bindings.list(exchange, self._project):
            raise precondition_failed(f"exchange '{exchange}' in use", "exchange_delete")
        self._bindings.delete_exchange(exchange, self._project)
        self._router.forget(exchange)

    def exchange_bind(
        self,
        destination: str,
        source: str = "",
        routing_key: str = "",
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Bind an exchange to another, which becomes the source of its messages."""
        self._bind(source, destination, routing_key, arguments, "exchange")

    def exchange_unbind(
        self,
        destination: str,
        source: str = "",
        routing_key: str = "",
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Remove the binding that :meth:`exchange_bind` made."""
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
        """Declare a queue: register it in the catalog and create it in its pool. Without a name, one is generated.

        Returns:
            (name, free messages, consumers). Unless ``passive``, no message is counted while the pool does not answer.

        Raises:
            NotFound: ``passive``, and the queue does not exist.
            PreconditionFailed: it was declared with other properties or arguments.
            ResourceLocked: it is exclusive to another connection.
        """
        name = queue or f"amq.gen-{uuid.uuid4().hex}"
        if passive:
            declared = self._queues.require(name, self._owner, "queue_declare")
            return _visible(self._queues.present_counts(name), declared.get("arguments"))
        if exclusive:
            self.require_open()
        self._queues.declare(
            name,
            self._owner,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            arguments=arguments or {},
        )
        if exclusive:
            self._exclusive.add(name)
        self._declared.add(
            name, {"durable": durable, "exclusive": exclusive, "auto_delete": auto_delete, "arguments": arguments or {}}
        )
        return _visible(self._queues.counts_if_up(name), arguments)

    def queue_bind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        **options: Any,
    ) -> None:
        """Bind a queue to an exchange.

        Raises:
            NotFound: there is no such queue or exchange.
            ConnectionError: the connection declared the queue, which was deleted since.
        """
        while exchange:
            try:
                # A queue that this connection has just declared is not another one's.
                if self._declared.unused(queue) is None:
                    self._queues.declaration(queue, self._owner)
                self._bind(exchange, queue, routing_key, arguments, "queue")
            except QueueDoesNotExist as error:
                unused = self._declared.unused(queue)
                if unused is None:
                    raise self._missing(queue, "queue_bind") from error
                # As if the deletion had come before the declaration, with which Kombu's declaring begins.
                self.queue_declare(queue, **unused)
            else:
                self._declared.bound(exchange, queue)
                return

    def _require_declared(self, queue: str, method: str) -> Metadata:
        """Return what :meth:`Queues.require` does."""
        try:
            return self._queues.declaration(queue, self._owner)
        except QueueDoesNotExist as error:
            raise self._missing(queue, method) from error

    def _missing(self, queue: str, method: str) -> Exception:
        """Return the error for a queue that does not exist.

        A queue that the connection declared may be deleted before it is used, which must not end a worker. So that is
        an error after which Kombu opens another connection and declares the queue again.
        """
        return gone(queue) if queue in self._declared else no_queue(queue, method)

    def queue_unbind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        **options: Any,
    ) -> None:
        """Remove the binding that :meth:`queue_bind` made. Idempotent."""
        if exchange:
            self._declared.unbound(exchange, queue)
            self._unbind(exchange, queue, routing_key, arguments, "queue")

    def _bind(
        self, exchange: str, destination: str, routing_key: str, arguments: Mapping[str, Any] | None, kind: str
    ) -> None:
        self._router.predeclare(exchange, *([destination] if kind == "exchange" else []))
        try:
            if kind == "queue":
                self._queues.bind(exchange, destination, routing_key or "", arguments)
            else:
                self._bindings.bind(exchange, destination, routing_key or "", arguments, kind, self._project)
        except ExchangeDoesNotExist as error:
            self._check_epoch()
            raise no_exchange(error.exchange, f"{kind}_bind") from error
        self._router.forget(exchange)

    def _unbind(
        self, exchange: str, destination: str, routing_key: str, arguments: Mapping[str, Any] | None, kind: str
    ) -> None:
        self._bindings.unbind(exchange, destination, routing_key or "", arguments, kind, self._project)
        self._router.forget(exchange)
        self._queues.delete_unbound(self._project, [exchange])

    def queue_purge(self, queue: str, nowait: bool = False, **options: Any) -> int:
        """Delete the messages of a queue that are not claimed, and return their number.

        Raises:
            NotFound: there is no such queue.
        """
        self._queues.require(queue, self._owner, "queue_purge")
        return self._queues.purge(queue)

    def queue_delete(
        self, queue: str, if_unused: bool = False, if_empty: bool = False, nowait: bool = False, **options: Any
    ) -> int:
        """Delete a queue with its messages and bindings, and return the number of its free messages. Idempotent.

        Raises:
            PreconditionFailed: ``if_unused`` and it has a consumer, or ``if_empty`` and it has a message in any state.
            ResourceLocked: it is exclusive to another connection.
        """
        try:
            self._queues.require(queue, self._owner, "queue_delete")
        except NotFound:
            return 0
        # Acknowledgements sent after the deletion would be logged as late.
        with suppress(KombuPoolError):
            self._flush_acks()
        there = self._queues.counts_if_up(queue)
        if if_empty and self._queues.total(queue):
            raise precondition_failed(f"queue '{queue}' not empty", "queue_delete")
        if not if_unused:
            self._queues.delete(queue)
        elif not self._queues.delete_unused(queue):
            raise precondition_failed(f"queue '{queue}' in use", "queue_delete")
        self._declared.discard(queue)
        self._exclusive.discard(queue)
        return there.message_count

    def prepare_queue_arguments(self, arguments: Mapping[str, Any] | None, **options: Any) -> Mapping[str, Any]:
        """Return queue arguments, with Kombu's ``Queue`` options under their RabbitMQ names."""
        prepared: Mapping[str, Any] = to_rabbitmq_queue_arguments(arguments or {}, **options)
        return prepared

    def get_bindings(self) -> list[tuple[str, str, str]]:
        """Return (queue or exchange, exchange, routing key) of every binding of the project."""
        return [
            (binding["destination"], binding["exchange"], binding["routing_key"])
            for binding in self._bindings.list(None, self._project)
        ]

    def _size(self, queue: str) -> int:
        """Return the number of free messages; Celery and Flower call this name."""
        return self._queues.counts(queue).message_count


def _visible(counts: Declared, arguments: Mapping[str, Any] | None) -> Declared:
    """Return the counts of a queue as AMQP shows them: no message is ever ready in a queue with a ttl of 0."""
    return counts._replace(message_count=0) if is_zero_ttl_queue(arguments) else counts
