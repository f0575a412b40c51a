"""The half of a channel that publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.transport.amqp_errors import RETRIED
from kombu_pool.transport.publish import buffer as buffers
from kombu_pool.transport.publish import deduplication, unconfirmed
from kombu_pool.transport.publish import envelope as envelopes
from kombu_pool.transport.publish.batch import PublishBatch
from kombu_pool.transport.publish.posting import MAILBOXES, PostingMethods
from kombu_pool.transport.publish.revocation import revoke_waiting
from kombu_pool.transport.publish.unconfirmed import UnconfirmedPublish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import NewMessage
    from kombu_pool.transport.publish.envelope import Envelope


class PublishingMethods(PostingMethods):
    """``basic.publish`` and what belongs to it."""

    #: The Kombu connection.
    client: Any

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
            StoreFull: a store refuses writes; other queues may have stored it. Published again, it is stored once.
            MessageNacked: a queue is full and refuses it; other queues may have stored it.
            ConnectionError: the control store lost all that it held, the exchange or the queue with it.
            RecoverableConnectionError: the connection was closed.
            InvalidMessage: the message cannot be stored.
        """
        buffer = buffers.current.get()
        if buffer is None or not buffer.accepts(self.client, self._options.batch_groups):
            self._publish(message, exchange, routing_key, mandatory=mandatory)
        elif not (mandatory or self._acts_at_once(exchange)) and buffer.holds_next():
            buffer.add(self, message, exchange, routing_key)
        else:
            buffer.flush(self)
            self._publish(message, exchange, routing_key, mandatory=mandatory)
            buffer.posted()

    def _acts_at_once(self, exchange: str) -> bool:
        """Return whether what a publish does is needed when it returns: by a command, or by a caller of dropped()."""
        return exchange.endswith(MAILBOXES) or deduplication.is_collecting()

    def _publish(self, message: Any, exchange: str, routing_key: str, *, mandatory: bool) -> None:
        new, queues = self.routed(message, exchange, routing_key, mandatory=mandatory)
        if exchange.endswith(MAILBOXES):
            revoke_waiting(new["body"], self._cancel_many, self._post, self._project)
        earlier = unconfirmed.find(message, self._options) if unconfirmed.remembered else None
        if earlier is not None:
            self._publish_again(earlier, new, queues, mandatory)
            return
        if len(queues) > 1:
            envelopes.add_record(new)
        sequence, stored = unconfirmed.acquire_sequence(), 0
        try:
            for queue in queues:
                self.post(queue, (new,), mandatory=mandatory, idempotency_key=sequence.next_key())
                stored += 1
        except RETRIED:
            published = message if type(message) is dict else new["body"]
            UnconfirmedPublish(published, self._options, sequence, queues[:stored], queues[stored]).remember()
            # The stores of a closed connection are closed, too: their errors would name a store that answers.
            self.require_open()
            raise
        except Exception:
            unconfirmed.release_sequence(sequence)
            raise
        unconfirmed.release_sequence(sequence)

    def _publish_again(
        self, earlier: UnconfirmedPublish, new: NewMessage, queues: Sequence[str], mandatory: bool
    ) -> None:
        """Publish a message again to the queues that have not confirmed it, with the keys of the first try."""
        earlier.backoff.pause()
        try:
            for queue in queues:
                if queue not in earlier.stored:
                    self.post(queue, (new,), mandatory=mandatory, idempotency_key=earlier.key_for(queue))
                    earlier.stored.add(queue)
        except RETRIED:
            earlier.backoff.failed()
            self.require_open()
            raise
        except Exception:
            earlier.forget()
            raise
        earlier.forget()
        unconfirmed.release_sequence(earlier.sequence)

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        """Return a batch for ``Producer.batch`` to fill."""
        return PublishBatch(self, max_size)
