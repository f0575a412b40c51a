"""A channel's half that consumes: consumers, deliveries, and what becomes of each message."""

from __future__ import annotations

import itertools
import logging
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import finalize

from amqp.exceptions import RecoverableConnectionError

from kombu_pool.errors import DoesNotExist, KombuPoolError
from kombu_pool.transport.consume.deliveries import Consumer, Message, Subscription, Unacked
from kombu_pool.transport.consume.prefetch import Credit
from kombu_pool.transport.consume.single_active import turn_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kombu_pool.model import Message as StoredMessage
    from kombu_pool.transport.connection import PoolConnection
    from kombu_pool.transport.consume.leases import Lease

logger = logging.getLogger(__name__)


class ConsumingMethods:
    """``basic.*`` but ``basic.publish``."""

    def __init__(self, connection: PoolConnection) -> None:
        self.closed = False
        self.no_ack_consumers: set[str] = set()
        self._link = connection
        self._broker = connection.broker
        self._vhost = connection.options.project
        self._settlement = connection.broker.settlement
        self._tags = itertools.count(1)
        self._unacked: dict[int, Unacked] = {}
        self._consumers: dict[str, Consumer] = {}
        self._subscriptions: dict[tuple[str, bool], Subscription] = {}
        self.qos = Credit(connection.options.read_ahead, connection.wake)
        self._paid: Callable[[], None] | None = None

    # Consumers.

    def basic_consume(
        self,
        queue: str,
        no_ack: bool = False,
        callback: Callable[[Message], Any] | None = None,
        consumer_tag: str | None = None,
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> str:
        """Deliver the queue's messages to ``callback`` until the consumer is cancelled; return its tag.

        Several consumers of one queue take turns, message by message; of one with ``x-single-active-consumer``, the
        first that came gets all, until it goes.

        Raises:
            NotFound: there is no such queue.
            ResourceLocked: it is another connection's alone.
        """
        self.require_open()
        declared = self._broker.queues.require(queue, self._link.id, "basic_consume")
        tag = consumer_tag or f"ctag-{uuid.uuid4().hex}"
        consumer = self._consumers[tag] = Consumer(self, queue, tag, callback or _ignore, no_ack)
        if no_ack:
            self.no_ack_consumers.add(tag)
        self._broker.queues.add_consumer(queue, self._holder(tag))
        subscription = self._subscriptions.get((queue, no_ack))
        if subscription is None:
            turn = turn_of(self._broker.queues, queue, declared, self._link.options.claim_ttl)
            subscription = self._subscriptions[queue, no_ack] = Subscription(self, queue, no_ack, turn)
            subscription.consumers = [consumer]
            self._link.subscribe(subscription)
        else:
            subscription.consumers = [*subscription.consumers, consumer]
        return tag

    def basic_cancel(self, consumer_tag: str, **options: Any) -> None:
        """Deliver no more to a consumer; what waited for it goes back at once. Idempotent."""
        consumer = self._consumers.pop(consumer_tag, None)
        if consumer is None:
            return
        self.no_ack_consumers.discard(consumer_tag)
        subscription = self._subscriptions.get((consumer.queue, consumer.no_ack))
        turn = None
        # There is none if the store failed while the consumer was being added.
        if subscription is not None:
            subscription.consumers = [other for other in subscription.consumers if other is not consumer]
        if subscription is not None and not subscription.consumers:
            del self._subscriptions[consumer.queue, consumer.no_ack]
            self._link.unsubscribe(subscription)
            turn = subscription.turn
        # The queue may go with its last consumer: what was acknowledged goes first, or it would be refused.
        with suppress(KombuPoolError):
            self._settlement.flush()
        if turn is not None:
            turn.give_up()
        self._broker.queues.remove_consumer(consumer.queue, self._holder(consumer_tag))

    def _holder(self, tag: str) -> str:
        return f"{self._link.id}:{id(self):x}:{tag}"

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        """Limit how many messages the channel's consumers may hold unacknowledged, all together; 0 for no limit."""
        self.qos.prefetch_count = prefetch_count
        self._link.wake()

    def flow(self, active: bool = True) -> None:
        """Stop or resume fetching for this channel."""
        self.qos.paused = not active
        self._link.wake()

    # Deliveries.

    def deliver(self, subscription: Subscription, consumer: Consumer, lease: Lease, stored: StoredMessage) -> None:
        """Hand a message to a consumer. The connection calls this, for every message: it makes no detours."""
        message = Message(self, next(self._tags), stored, consumer.queue, consumer.tag)
        if consumer.no_ack:
            self._settlement.ack(lease, stored["id"])
        else:
            self._unacked[message.delivery_tag] = (lease, stored["id"], message)
        subscription.taken += 1
        if self.qos.starved:
            self.qos.delivered(subscription)
        consumer.callback(message)

    def basic_get(self, queue: str, no_ack: bool = False, **options: Any) -> Message | None:
        """Return one message, or None when the queue has none.

        Raises:
            NotFound: there is no such queue.
            ResourceLocked: it is another connection's alone.
        """
        self.require_open()
        self._broker.queues.require(queue, self._link.id, "basic_get")
        begun = time.monotonic()
        renewal = self._broker.renewal
        claim_id, stored = self._broker.data.claim_controller.create(queue, renewal.metadata, self._vhost, 1)
        if claim_id is None or not stored:
            return None
        lease = renewal.lease(queue, self._vhost, claim_id, 1, begun, None if no_ack else self.qos)
        message = Message(self, next(self._tags), stored[0], queue, None)
        if no_ack:
            self._settlement.ack(lease, stored[0]["id"])
        else:
            self._unacked[message.delivery_tag] = (lease, stored[0]["id"], message)
        return message

    # What becomes of a delivery.

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        """Delete a delivered message or, with ``multiple``, all up to it (tag 0: all). Gathered for a moment."""
        one = None if multiple else self._unacked.pop(delivery_tag, None)
        if one is None or self._paid is not None:
            for each in self._take(delivery_tag, multiple) if one is None else (one,):
                self._settlement.ack(*each)
            self._pay()
            return
        self._settlement.ack(*one)
        if self.qos.starved:
            self.qos.acknowledged()

    def basic_reject(self, delivery_tag: int, requeue: bool = False, multiple: bool = False) -> None:
        """Give a delivered message back to its place in the queue, at once; without ``requeue``, dead-letter it.

        Where the queue has nowhere for dead letters to go, it is deleted.
        """
        settle = self._settlement.release if requeue else self._settlement.reject
        self._settle(self._take(delivery_tag, multiple), settle)

    def basic_nack(self, delivery_tag: int, multiple: bool = False, requeue: bool = True) -> None:
        """Do as :meth:`basic_reject` does, as RabbitMQ spells it."""
        self.basic_reject(delivery_tag, requeue, multiple)

    def basic_recover(self, requeue: bool = True) -> None:
        """Give back all that was delivered and not acknowledged; it is delivered again, to whoever comes first."""
        self._settle(self._take(0, multiple=True), self._settlement.release)

    def _take(self, delivery_tag: int, multiple: bool) -> Sequence[Unacked]:
        """Take deliveries out of the unacknowledged ones, and count them as settled."""
        unacked = self._unacked
        if not multiple:
            one = unacked.pop(int(delivery_tag), None)
            taken: Sequence[Unacked] = () if one is None else (one,)
        else:
            tags = [tag for tag in list(unacked) if not delivery_tag or tag <= delivery_tag]
            taken = [one for tag in tags if (one := unacked.pop(tag, None)) is not None]
        if not taken:
            if delivery_tag:
                logger.warning("Delivery %s of channel %r is unknown, or was settled before", delivery_tag, self)
            return taken
        self._pay()
        return taken

    def _pay(self) -> None:
        """Tell whoever abandoned the channel once it owes nothing any more."""
        if self._paid is not None and not self._unacked:
            paid, self._paid = self._paid, None
            paid()

    @staticmethod
    def _settle(deliveries: Sequence[Unacked], settle: Callable[[Lease, list[str]], None]) -> None:
        by_lease: dict[Lease, list[str]] = {}
        for lease, message_id, _ in deliveries:
            by_lease.setdefault(lease, []).append(message_id)
        for lease, message_ids in by_lease.items():
            settle(lease, message_ids)

    # The end.

    def require_open(self) -> None:
        """Refuse to lend anything to a channel that nobody serves any more.

        Raises:
            RecoverableConnectionError: it is closed, or another process's.
        """
        if self.closed:
            raise RecoverableConnectionError("The channel is closed: open another one")
        self._link.require_open()

    def after_fork(self) -> None:
        """Forget, in a child, all that was lent: it is the parent's still."""
        self.closed = True
        self._consumers.clear()
        self._subscriptions.clear()
        self._unacked.clear()

    def stop(self) -> None:
        """Cancel every consumer and give back every delivery."""
        for tag in list(self._consumers):
            try:
                self.basic_cancel(tag)
            except DoesNotExist:
                continue
        self._settle(self._take(0, multiple=True), self._settlement.release)

    def abandon(self, paid: Callable[[], None]) -> bool:
        """Stop without giving back what somebody may still acknowledge; return whether there is such.

        ``paid`` is called when the last of them has been settled, or dropped.
        """
        self.closed = True
        for consumer in self._consumers:
            self._broker.renewal.stop_renewing(self._holder(consumer))
        for subscription in self._subscriptions.values():
            if subscription.turn is not None:
                subscription.turn.give_up(quietly=True)
        self._consumers.clear()
        self._subscriptions.clear()
        for tag, (lease, message_id, message) in list(self._unacked.items()):
            # From now on only its holder keeps the message; without one it goes here and now.
            self._unacked[tag] = (lease, message_id, None)
            finalize(message, self._drop, tag).atexit = False
        message = None
        self._paid = paid
        if not self._unacked:
            self._paid = None
        return bool(self._unacked)

    def _drop(self, tag: int) -> None:
        """Give back a delivery whose message nobody holds any more."""
        dropped = self._unacked.pop(tag, None)
        if dropped is None:
            return
        self._settlement.orphan(dropped[0], dropped[1])
        self._pay()


def _ignore(message: Message) -> None:
    """Take a message of a consumer without a callback."""
