"""What a channel has been lent and has not settled yet: its credit, its unacknowledged messages, its consumers."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from kombu.compression import decompress
from kombu.message import Message as KombuMessage

from kombu_pool.transport.publish.envelope import enveloped
from kombu_pool.transport.upkeep.dead_letters import headers_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.model import Message as StoredMessage
    from kombu_pool.transport.consume.consuming import ConsumingMethods
    from kombu_pool.transport.consume.leases import Lease
    from kombu_pool.transport.consume.single_active import Turn


class Message(KombuMessage):  # type: ignore[misc] # Kombu has no types
    """A message that a channel delivered."""

    errors: Any = ()

    def __init__(
        self, channel: ConsumingMethods, delivery_tag: int, stored: StoredMessage, queue: str, consumer_tag: str | None
    ) -> None:
        # Kombu's own constructor does half of this and takes thrice as long; every delivery goes through here.
        envelope = enveloped(stored["body"], queue)
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
        if "dead_letter" in stored:
            self.headers = headers_of(envelope, stored["dead_letter"])
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

    def __init__(self, channel: ConsumingMethods, queue: str, no_ack: bool, turn: Turn | None) -> None:
        self.channel = channel
        self.queue = queue
        self.no_ack = no_ack
        #: Whether it may claim, where not everybody may.
        self.turn = turn
        self.consumers: list[Consumer] = []
        # Each is written by one thread only: the fetcher's, and the one that delivers.
        self.lent = 0
        self.taken = 0
        self._turn = 0
        #: The higher, the later it was fed.
        self.fed = 0
        #: Monotonic: the queue was found empty, and is not worth a claim before.
        self.quiet_until = 0.0
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
        if self.turn is not None:
            return consumers[0]
        self._turn = (self._turn + 1) % len(consumers)
        return consumers[self._turn]


#: A delivery that is not settled: its claim, its id, and what the consumer was handed, which nobody but the consumer
#: keeps once the channel is given up.
Unacked = tuple["Lease", str, "Message | None"]
