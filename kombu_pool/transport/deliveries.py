"""What a channel has been lent and has not settled yet: its credit, its unacknowledged messages, its consumers."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from kombu.compression import decompress
from kombu.message import Message as KombuMessage

from kombu_pool.transport.envelope import unwrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.model import Message as StoredMessage
    from kombu_pool.transport.consuming import ConsumingMethods
    from kombu_pool.transport.leases import Lease


class Message(KombuMessage):  # type: ignore[misc] # Kombu has no types
    """A message that a channel delivered."""

    errors: Any = ()

    def __init__(
        self, channel: ConsumingMethods, delivery_tag: int, stored: StoredMessage, queue: str, consumer_tag: str | None
    ) -> None:
        # Kombu's own constructor does half of this and takes thrice as long; every delivery goes through here.
        envelope = unwrap(stored, queue)
        count = stored["claim_count"]
        self.channel = channel
        self.delivery_tag = delivery_tag
        self.delivery_info = {
            "consumer_tag": consumer_tag,
            "exchange": envelope.get("exchange"),
            "routing_key": envelope.get("routing-key"),
            "redelivered": count > 1,
            "delivery_count": count,
        }
        self.body = envelope["body"]
        self.content_type = envelope.get("content-type")
        self.content_encoding = envelope.get("content-encoding")
        self.headers = headers = envelope["headers"]
        self.properties = envelope["properties"]
        self.accept = None
        self._decoded_cache = None
        self._state = "RECEIVED"
        if "compression" in headers:
            self._decompress(headers["compression"])

    def ack(self, multiple: bool = False) -> None:
        """Acknowledge the message, and with ``multiple`` all that the channel delivered before it.

        Raises:
            MessageStateError: it was acknowledged, rejected or requeued already.
        """
        if self._state != "RECEIVED":
            raise self.MessageStateError(f"Message already acknowledged with state: {self._state}")
        # What a consumer without acknowledgements got was settled as it came.
        if self.delivery_info["consumer_tag"] not in self.channel.no_ack_consumers:
            self.channel.basic_ack(self.delivery_tag, multiple)
            self._state = "ACK"

    def _decompress(self, method: str) -> None:
        try:
            self.body = decompress(self.body, method)
        except Exception:  # noqa: BLE001 - Kombu hands it to the consumer's on_decode_error
            self.errors = [sys.exc_info()]


class Consumer:
    """One ``basic.consume`` of a channel."""

    __slots__ = ("callback", "channel", "no_ack", "queue", "tag")

    def __init__(
        self, channel: ConsumingMethods, queue: str, tag: str, callback: Callable[[Message], Any], no_ack: bool
    ) -> None:
        self.channel = channel
        self.queue = queue
        self.tag = tag
        self.callback = callback
        self.no_ack = no_ack


class Subscription:
    """The consumers of one queue on one channel, which take turns."""

    def __init__(self, channel: ConsumingMethods, queue: str, no_ack: bool) -> None:
        self.channel = channel
        self.queue = queue
        self.no_ack = no_ack
        self.consumers: list[Consumer] = []
        # Each is written by one thread only: the fetcher's, and the one that delivers.
        self.lent = 0
        self.taken = 0
        self._turn = 0
        #: Held by a thread that claims for it.
        self.claiming = threading.Lock()

    @property
    def ready(self) -> int:
        """How many messages wait to be delivered."""
        return self.lent - self.taken

    def next_consumer(self) -> Consumer | None:
        """Return whose turn it is; None when all have been cancelled."""
        consumers = self.consumers
        if len(consumers) == 1:
            return consumers[0]
        if not consumers:
            return None
        self._turn = (self._turn + 1) % len(consumers)
        return consumers[self._turn]


#: A delivery that is not settled: its claim, its id, and what the consumer was handed, which nobody but the consumer
#: keeps once the channel is given up.
Unacked = tuple["Lease", str, "Message | None"]


class Credit:
    """How many messages a channel may be lent: the free part of its prefetch limit, which all its consumers share.

    Also what Kombu and Celery look for as ``channel.qos``. Nothing is counted on the way of a message; who asks adds up
    what waits and what is unacknowledged.
    """

    def __init__(self, read_ahead: int, subscriptions: dict[Any, Subscription], unacked: dict[int, Unacked]) -> None:
        self.prefetch_count = 0
        #: Set while a fetcher waits for a slot; who frees one resets it and wakes the fetcher.
        self.starved = False
        self.paused = False
        self._read_ahead = read_ahead
        self._subscriptions = subscriptions
        self._unacked = unacked

    def outstanding(self) -> int:
        """Count what was lent and is not settled; a message on its way to the consumer may count twice."""
        waiting = sum(each.ready for each in list(self._subscriptions.values()) if not each.no_ack)
        return waiting + len(self._unacked)

    def can_consume(self) -> bool:
        """Tell whether another message may be delivered. Celery replaces this to stop prefetching."""
        return not self.prefetch_count or self.outstanding() < self.prefetch_count

    def room(self, subscription: Subscription, *, patient: bool) -> int:
        """Return how many messages to claim for a subscription now.

        A claim costs the same for one message as for many. So, while ``patient``, nothing is claimed for a channel that
        still has something to do and less than half of its slots free.
        """
        # Set before looking: a slot that comes free in between is then not missed.
        self.starved = True
        room = 0 if self.paused or not self.can_consume() else self._room(subscription, patient=patient)
        if room > 0:
            self.starved = False
        return room

    def _room(self, subscription: Subscription, *, patient: bool) -> int:
        if subscription.no_ack or not self.prefetch_count:
            missing = self._read_ahead - subscription.ready
            return missing if missing * 2 >= self._read_ahead else 0
        outstanding = self.outstanding()
        free = self.prefetch_count - outstanding
        if patient and outstanding and free * 2 < self.prefetch_count:
            return 0
        return min(free, self._read_ahead)

    def is_lingering(self) -> bool:
        """Tell whether there is a slot that patience alone leaves free."""
        return bool(self.prefetch_count) and self.can_consume()
