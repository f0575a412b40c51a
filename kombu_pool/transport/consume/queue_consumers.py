"""The consumers of one queue on one channel, which share its messages."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.model import Message as StoredMessage
    from kombu_pool.transport.consume.leases import Lease
    from kombu_pool.transport.consume.prefetch import PrefetchWindow
    from kombu_pool.transport.consume.single_active import SingleActiveConsumer


class Consumer:
    """One ``basic.consume`` of a channel."""

    __slots__ = ("callback", "no_ack", "queue", "tag")

    def __init__(self, queue: str, tag: str, callback: Callable[[Any], Any], no_ack: bool) -> None:
        self.queue = queue
        self.tag = tag
        self.callback = callback
        self.no_ack = no_ack


class QueueConsumers:
    """The consumers of a queue that one claim serves; messages are delivered to them round robin."""

    def __init__(
        self,
        queue: str,
        no_ack: bool,
        window: PrefetchWindow,
        deliver: Callable[[QueueConsumers, Consumer, Lease, StoredMessage], None],
        single_active: SingleActiveConsumer | None = None,
    ) -> None:
        self.queue = queue
        self.no_ack = no_ack
        #: The prefetch window of their channel.
        self.window = window
        #: Their channel's method that hands a message to one of them.
        self.deliver = deliver
        #: Whether they may claim, on a queue with ``x-single-active-consumer``; None on any other.
        self.single_active = single_active
        self.consumers: list[Consumer] = []
        # Each is written by one thread only: the fetcher's, and the one that delivers.
        self.claimed = 0
        self.delivered = 0
        self._next = 0
        #: The number of their last successful claim among all claims of the process.
        self.last_served = 0
        #: Monotonic time until which the queue, which was found empty, is not claimed from.
        self.empty_until = 0.0
        #: Held by the thread that claims for them.
        self.claiming = threading.Lock()

    @property
    def ready(self) -> int:
        """Return how many claimed messages wait for delivery."""
        return self.claimed - self.delivered

    def next_consumer(self) -> Consumer | None:
        """Return the consumer of the next message; None when all are cancelled."""
        consumers = self.consumers
        if len(consumers) == 1:
            return consumers[0]
        if not consumers:
            return None
        if self.single_active is not None:
            return consumers[0]
        self._next = (self._next + 1) % len(consumers)
        return consumers[self._next]
