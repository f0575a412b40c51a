"""A delivered message, as Kombu's consumers get it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from kombu.compression import decompress
from kombu.message import Message as KombuMessage

from kombu_pool.transport.publish.envelope import DELAYED_BY_ETA, due_time, enveloped
from kombu_pool.transport.publish.revocation import MARKER, mark_revoked
from kombu_pool.transport.upkeep.dead_letters import headers_of

if TYPE_CHECKING:
    from kombu.transport.base import StdChannel

    from kombu_pool.model import Message as StoredMessage
    from kombu_pool.transport.consume.leases import Lease


class Message(KombuMessage):  # type: ignore[misc] # Kombu has no types
    """A message that a channel delivered."""

    errors: Any = ()

    def __init__(
        self, channel: StdChannel, delivery_tag: int, stored: StoredMessage, queue: str, consumer_tag: str | None
    ) -> None:
        # Kombu's own constructor does half of this in three times the time; every delivery comes through here.
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
        if MARKER in headers:
            mark_revoked(headers)
        if DELAYED_BY_ETA in envelope and delivery_tag:
            self._forget_eta()
        if "compression" in headers:
            self._decompress(headers["compression"])

    def ack(self, multiple: bool = False) -> None:
        """Acknowledge the message, and with ``multiple`` all that the channel delivered before it.

        Raises:
            MessageStateError: it was acknowledged, rejected or requeued already.
        """
        if self._state != "RECEIVED":
            raise self.MessageStateError(f"Message already acknowledged with state: {self._state}")
        # The deliveries of a no_ack consumer are settled before their callback runs.
        if self.delivery_info["consumer_tag"] not in self.channel.no_ack_consumers:
            self.channel.basic_ack(self.delivery_tag, multiple)
            self._state = "ACK"

    def _forget_eta(self) -> None:
        """Drop an eta that is still ahead: the store waited until the task was rescheduled to an earlier time."""
        due = due_time(self.headers.get("eta"))
        if due is not None and due > time.time():
            self.headers = {**self.headers, "eta": None}

    def _decompress(self, method: str) -> None:
        try:
            self.body = decompress(self.body, method)
        except Exception:  # noqa: BLE001 - Kombu hands it to the consumer's on_decode_error
            self.errors = [sys.exc_info()]


#: An unsettled delivery: its lease, its id, and the message, to which a channel that was given up keeps no reference.
Unacked = tuple["Lease", str, "Message | None"]
