"""The half of a channel that consumes: its consumers, its deliveries, and their settlement."""

from __future__ import annotations

import itertools
import logging
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import finalize

from kombu_pool.errors import DoesNotExist, KombuPoolError
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.transport import amqp_errors
from kombu_pool.transport.consume.consumers import Consumer, QueueConsumers
from kombu_pool.transport.consume.deliveries import Message, Unacked
from kombu_pool.transport.consume.prefetch import PrefetchWindow
from kombu_pool.transport.consume.priorities import priority_of
from kombu_pool.transport.consume.single_active import single_active_of
from kombu_pool.transport.declare.queue_arguments import EXPIRES
from kombu_pool.transport.processes import new_consumer_id
from kombu_pool.transport.zero_ttl import is_expired, is_zero_ttl_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from kombu_pool.model import Message as StoredMessage
    from kombu_pool.model import Metadata
    from kombu_pool.transport.consume.dispatcher import Dispatcher
    from kombu_pool.transport.consume.leases import Lease
    from kombu_pool.transport.consume.renewal import Renewal
    from kombu_pool.transport.consume.settlement import Settlement
    from kombu_pool.transport.consume.single_active import SingleActiveConsumer
    from kombu_pool.transport.declare.queues import Queues
    from kombu_pool.transport.options import TransportOptions

logger = logging.getLogger(__name__)


class ConsumingMethods:
    """``basic.*`` except ``basic.publish``."""

    #: The id of the connection; the holder ids of its consumers begin with it.
    _owner: str
    _options: TransportOptions
    _queues: Queues
    #: Returns the properties and arguments of a queue that is about to be used.
    _require_declared: Callable[[str, str], Metadata]
    _dispatcher: Dispatcher
    _settlement: Settlement
    _renewal: Renewal
    #: Raises RecoverableConnectionError if nothing would renew or deliver what the channel claims.
    require_open: Callable[[], None]

    def __init__(self) -> None:
        self.closed = False
        self.no_ack_consumers: set[str] = set()
        self.qos = PrefetchWindow(self._options.read_ahead, self._dispatcher.wake)
        self._tags = itertools.count(1)
        self._unacked: dict[int, Unacked] = {}
        self._consumers: dict[str, Consumer] = {}
        self._queue_consumers: dict[tuple[str, bool], QueueConsumers] = {}
        #: The last delivery tag whose message a consumer or the caller of ``basic_get`` has got.
        self._handed = 0
        self._on_all_settled: Callable[[], None] | None = None
        self._settlement.interrupted.keepers.add(self)

    # Consumers.

    def basic_consume(
        self,
        queue: str,
        no_ack: bool = False,
        callback: Callable[[Message], Any] | None = None,
        consumer_tag: str | None = None,
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
        on_cancel: Callable[[str], Any] | None = None,
        **options: Any,
    ) -> str:
        """Deliver the queue's messages to ``callback`` until the consumer is cancelled; return its tag.

        If the queue is deleted or expires, ``on_cancel`` is called with the tag; without it ``drain_events`` raises
        ``amqp.exceptions.ConsumerCancelled``, a recoverable error.

        The consumers of one queue get its messages round robin; with ``x-single-active-consumer``, the first one gets
        all of them until it is cancelled. The argument ``x-priority`` orders the consumers of one connection: those of
        a lower one get what the others have no slots for.

        Raises:
            NotFound: there is no such queue.
            PreconditionFailed: ``x-priority`` is no integer.
            ConnectionError: the connection declared the queue, which was deleted since.
            ResourceLocked: the queue is exclusive to another connection.
        """
        self.require_open()
        declared = self._require_declared(queue, "basic_consume")
        tag = consumer_tag or f"ctag-{uuid.uuid4().hex}"
        consumer = self._consumers[tag] = Consumer(
            queue,
            tag,
            new_consumer_id(self._owner, id(self), tag),
            callback or _ignore,
            no_ack,
            self._on_cancelled,
            on_cancel,
            priority_of(arguments),
        )
        if no_ack:
            self.no_ack_consumers.add(tag)
        incarnation = self._queues.add_consumer(
            queue,
            consumer.holder,
            lambda: self._dispatcher.inbox.cancel(consumer),
            auto_delete=bool(declared.get("auto_delete")),
        )
        self._serve(consumer, incarnation, declared)
        return tag

    def _serve(self, consumer: Consumer, incarnation: str, declared: Mapping[str, Any]) -> None:
        """Fetch messages for a consumer that was added to this life of its queue."""
        queue, no_ack = consumer.queue, consumer.no_ack
        queue_consumers = self._queue_consumers.get((queue, no_ack))
        if queue_consumers is None:
            single_active = single_active_of(self._queues, queue, declared, self._options.claim_ttl)
            arguments = declared.get("arguments") or {}
            queue_consumers = QueueConsumers(
                queue,
                no_ack,
                self.qos,
                self.deliver,
                incarnation,
                single_active,
                is_zero_ttl_queue(arguments),
                bool(declared.get("auto_delete") or declared.get("exclusive") or arguments.get(EXPIRES)),
            )
            queue_consumers.add(consumer)
            self._queue_consumers[queue, no_ack] = queue_consumers
            self._dispatcher.add(queue_consumers)
        else:
            # If those before it consume an earlier life, the next claim is refused, and they are cancelled.
            queue_consumers.add(consumer)
            if queue_consumers.incarnation != incarnation:
                self._dispatcher.wake()

    def basic_cancel(self, consumer_tag: str, **options: Any) -> None:
        """Deliver no more to a consumer, and release at once what was ready for it. Idempotent."""
        consumer = self._consumers.pop(consumer_tag, None)
        if consumer is None:
            return
        single_active = self._serve_no_more(consumer)
        # An auto-delete queue goes with its last consumer, and would then refuse these acknowledgements.
        with suppress(KombuPoolError):
            self._settlement.flush()
        if single_active is not None:
            single_active.resign()
        self._queues.remove_consumer(consumer.queue, consumer.holder)

    def _serve_no_more(self, consumer: Consumer) -> SingleActiveConsumer | None:
        """Deliver no more to a consumer; return the candidacy that the last one on its queue gives up."""
        self.no_ack_consumers.discard(consumer.tag)
        queue_consumers = self._queue_consumers.get((consumer.queue, consumer.no_ack))
        # It is absent if the store failed while the consumer was being added.
        if queue_consumers is None:
            return None
        queue_consumers.remove(consumer)
        if queue_consumers.consumers:
            return None
        del self._queue_consumers[consumer.queue, consumer.no_ack]
        self._dispatcher.remove(queue_consumers)
        return queue_consumers.single_active

    def _on_cancelled(self, consumer: Consumer) -> None:
        """Tell a consumer that the broker has cancelled it, unless its client did so, too.

        Raises:
            ConsumerCancelled: it has no ``on_cancel``.
        """
        if self._consumers.pop(consumer.tag, None) is None:
            return
        self._queues.forget_consumer(consumer.holder)
        single_active = self._serve_no_more(consumer)
        if single_active is not None:
            single_active.resign()
        if consumer.on_cancel is None:
            raise amqp_errors.consumer_cancelled(consumer.queue)
        consumer.on_cancel(consumer.tag)

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        """Limit the unacknowledged messages of all the channel's consumers together; 0 is no limit."""
        self.qos.prefetch_count = prefetch_count
        self.qos.reopen()
        self._dispatcher.wake()

    def flow(self, active: bool = True) -> None:
        """Stop or resume claiming for this channel."""
        self.qos.paused = not active
        self.qos.reopen()
        self._dispatcher.wake()

    # Deliveries.

    def deliver(self, queue_consumers: QueueConsumers, consumer: Consumer, lease: Lease, stored: StoredMessage) -> None:
        """Hand a message to a consumer. Every delivery comes through here."""
        message = Message(self, next(self._tags), stored, consumer.queue, consumer.tag)
        if consumer.no_ack:
            self._settlement.ack(lease, stored["id"])
        else:
            self._unacked[message.delivery_tag] = (lease, stored["id"], message)
        has_demand = self.qos.demand is not None
        if not has_demand:
            queue_consumers.delivered += 1
        if self.qos.is_awaited and queue_consumers.is_unlimited:
            self.qos.delivered(queue_consumers.ready)
        self._handed = message.delivery_tag
        try:
            consumer.callback(message)
        finally:
            if has_demand:  # the callback made the message count there
                queue_consumers.delivered += 1

    def basic_get(self, queue: str, no_ack: bool = False, **options: Any) -> Message | None:
        """Return one message, or None when the queue has none free.

        Raises:
            NotFound: there is no such queue.
            ResourceLocked: the queue is exclusive to another connection.
        """
        self.require_open()
        declared = self._queues.require(queue, self._owner, "basic_get")
        try:
            return self._get(queue, declared, no_ack=no_ack)
        except BaseException:
            self._settlement.suspect()
            raise

    def _get(self, queue: str, declared: Metadata, *, no_ack: bool) -> Message | None:
        claimed = self._claim_one(queue, None if no_ack else self.qos, declared)
        if claimed is None:
            return None
        lease, stored = claimed
        message = Message(self, next(self._tags), stored, queue, None)
        if no_ack:
            self._settlement.ack(lease, stored["id"])
        else:
            self._unacked[message.delivery_tag] = (lease, stored["id"], message)
        self._handed = message.delivery_tag
        return message

    def _claim_one(
        self, queue: str, window: PrefetchWindow | None, declared: Metadata
    ) -> tuple[Lease, StoredMessage] | None:
        """Claim one message that is not for waiting consumers only."""
        in_zero_ttl_queue = is_zero_ttl_queue(declared.get("arguments"))
        while (claimed := self._dispatcher.claimer.claim_one(queue, window)) is not None:
            lease, stored = claimed
            if not is_expired(stored, in_zero_ttl_queue=in_zero_ttl_queue):
                return claimed
            if self._queues.has_consumer(queue):
                self._settlement.release(lease, [stored["id"]])
                return None
            self._settlement.reject(lease, [stored["id"]], DeadLetterReason.EXPIRED)
        return None

    # Settlement.

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        """Delete a delivered message or, with ``multiple``, all up to it (tag 0: all), within a few milliseconds."""
        try:
            if self.qos.is_full:
                self.qos.reopen()
            one = None if multiple else self._unacked.pop(delivery_tag, None)
            if one is None or self._on_all_settled is not None:
                for each in self._take(delivery_tag, multiple) if one is None else (one,):
                    self._settlement.ack(*each)
                self._check_all_settled()
                return
            self._settlement.ack(*one)
            if self.qos.is_awaited:
                self.qos.acknowledged()
        except BaseException:
            self._settlement.suspect()
            raise

    def basic_reject(self, delivery_tag: int, requeue: bool = False, multiple: bool = False) -> None:
        """Dead-letter a delivered message, or delete it if its queue has no target for dead letters.

        With ``requeue``, release it to its place in the queue at once.
        """
        settle = self._settlement.release if requeue else self._settlement.reject
        try:
            self._settle(self._take(delivery_tag, multiple), settle)
        except BaseException:
            self._settlement.suspect()
            raise

    def basic_nack(self, delivery_tag: int, multiple: bool = False, requeue: bool = True) -> None:
        """Settle as :meth:`basic_reject` does: RabbitMQ's spelling."""
        self.basic_reject(delivery_tag, requeue, multiple)

    def basic_recover(self, requeue: bool = True) -> None:
        """Release all unacknowledged messages; any consumer of their queues may get them."""
        self._settle(self._take(0, multiple=True), self._settlement.release)

    def _take(self, delivery_tag: int, multiple: bool) -> Sequence[Unacked]:
        """Remove and return the unacknowledged deliveries that a settlement names."""
        unacked = self._unacked
        if not multiple:
            one = unacked.pop(int(delivery_tag), None)
            taken: Sequence[Unacked] = () if one is None else (one,)
        else:
            tags = [tag for tag in list(unacked) if not delivery_tag or tag <= delivery_tag]
            taken = [one for tag in tags if (one := unacked.pop(tag, None)) is not None]
        if not taken:
            if delivery_tag:
                logger.warning("Delivery %s of channel %r is unknown or already settled", delivery_tag, self)
            return taken
        self._check_all_settled()
        return taken

    def _check_all_settled(self) -> None:
        """Report once that an abandoned channel has no unsettled delivery left."""
        if self._on_all_settled is not None and not self._unacked:
            report, self._on_all_settled = self._on_all_settled, None
            report()

    @staticmethod
    def _settle(deliveries: Sequence[Unacked], settle: Callable[[Lease, list[str]], None]) -> None:
        by_lease: dict[Lease, list[str]] = {}
        for lease, message_id, _ in deliveries:
            by_lease.setdefault(lease, []).append(message_id)
        for lease, message_ids in by_lease.items():
            settle(lease, message_ids)

    def kept(self) -> Iterator[tuple[Lease, Iterable[str]]]:
        """Return the unacknowledged messages that were handed over."""
        for tag, (lease, message_id, _) in list(self._unacked.items()):
            if tag <= self._handed:
                yield lease, (message_id,)

    def forget(self, lease: Lease, message_ids: set[str]) -> None:
        """Drop the deliveries of these messages, which were not handed over."""
        for tag, (of, message_id, _) in list(self._unacked.items()):
            if of is lease and message_id in message_ids:
                self._unacked.pop(tag, None)

    # The end.

    def after_fork(self) -> None:
        """Drop, in a child process, all consumers and deliveries: they belong to the parent."""
        self.closed = True
        self._consumers.clear()
        self._queue_consumers.clear()
        self._unacked.clear()

    def close(self) -> None:
        """Cancel the consumers and release at once all that is not acknowledged. Idempotent."""
        if self.closed:
            return
        self.closed = True
        for tag in list(self._consumers):
            try:
                self.basic_cancel(tag)
            except DoesNotExist:
                continue
        self._settle(self._take(0, multiple=True), self._settlement.release)

    def abandon(self, on_all_settled: Callable[[], None]) -> bool:
        """Stop without a request to the store; return whether a consumer may still settle a delivery.

        ``on_all_settled`` is called when the last such delivery has been settled, or its message was garbage collected.
        """
        self.closed = True
        for consumer in self._consumers.values():
            self._renewal.stop_renewing(consumer.holder)
        for queue_consumers in self._queue_consumers.values():
            if queue_consumers.single_active is not None:
                queue_consumers.single_active.resign(locally=True)
        self._consumers.clear()
        self._queue_consumers.clear()
        for tag, (lease, message_id, message) in list(self._unacked.items()):
            # From here on only the consumer refers to the message; without a reference it is released at once.
            self._unacked[tag] = (lease, message_id, None)
            finalize(message, self._release_collected, tag).atexit = False
        message = None
        self._on_all_settled = on_all_settled if self._unacked else None
        return bool(self._unacked)

    def _release_collected(self, tag: int) -> None:
        """Queue the release of a delivery whose message was garbage collected."""
        if (delivery := self._unacked.pop(tag, None)) is not None:
            self._settlement.release_later(delivery[0], delivery[1])
            self._check_all_settled()


def _ignore(message: Message) -> None:
    """Ignore a message: the callback of a consumer that named none."""
