"""Finds the consumers whose queue is gone, or whose registration has ended: the broker's side of ``basic.cancel``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.errors import QueueDoesNotExist

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.storage import ConsumersController
    from kombu_pool.transport.consume.consumers import Consumer, QueueConsumers


class Cancellation:
    """Decides what becomes of consumers when their queue's pool does not know the incarnation that they consume.

    ``cancel`` is called from any thread, with each consumer that consumes nothing any more.
    """

    def __init__(
        self,
        data: DataDriver,
        consumers: ConsumersController,
        project: Project,
        ttl: float,
        cancel: Callable[[Consumer], None],
    ) -> None:
        self._lives = data.catalog.lives
        self._consumers = consumers
        self._project = project
        self._ttl = ttl
        self._cancel = cancel

    def on_refusal(self, queue_consumers: QueueConsumers) -> None:
        """Cancel those whose life of the queue is over; let those of its present incarnation consume from that.

        A queue that its pool had lost is created again there, and its consumers stay.
        """
        consumers = queue_consumers.consumers
        holders = [consumer.holder for consumer in consumers]
        try:
            _, incarnation = self._lives.current(queue_consumers.queue, self._project, queue_consumers.incarnation)
            gone = set(self._consumers.renew(holders, self._ttl))
            queue_consumers.incarnation = incarnation
        except QueueDoesNotExist:
            gone = set(holders)
        if gone:
            self._expect_refusals(queue_consumers)
        for consumer in consumers:
            if consumer.holder in gone:
                self._cancel(consumer)

    @staticmethod
    def _expect_refusals(queue_consumers: QueueConsumers) -> None:
        """Mark the leases of a deleted queue as ambiguous, so that refused acknowledgements cause no warning."""
        for lease in list(queue_consumers.window.leases):
            if lease.queue == queue_consumers.queue:
                lease.ambiguous = True
