"""A producer that publishes to queues on all nodes of a cluster while the cluster changes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from kombu import Connection, Consumer, Producer, Queue

from tests.support.limits import LIMIT
from tests.support.transport.traffic import eventually

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

QUEUES = [f"load{number}" for number in range(12)]
_POLICY = {"interval_start": 0, "interval_step": 0.02, "interval_max": 0.2, "max_retries": 300}


class ClusterLoad:
    """Publishes to all queues by turns within this context, each message when the one before it is confirmed."""

    def __init__(self, url: str) -> None:
        self.confirmed: list[str] = []
        #: The longest time between two confirmations, in seconds.
        self.longest_gap = 0.0
        self._url = url
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._publish)

    def __enter__(self) -> Self:
        with Connection(self._url) as connection:
            for name in QUEUES:
                Queue(name)(connection.default_channel).declare()
        self._thread.start()
        self.wait_for(len(QUEUES))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._told.set()
        self._thread.join(LIMIT)

    def wait_for(self, count: int) -> None:
        """Wait until so many messages are confirmed."""
        eventually(lambda: len(self.confirmed) >= count or not self._thread.is_alive(), LIMIT)

    def consumed(self) -> list[str]:
        """Consume all that is in the queues; return the bodies."""
        bodies: list[str] = []
        with Connection(self._url) as connection, Consumer(connection, list(map(Queue, QUEUES))) as consumer:
            consumer.register_callback(lambda body, message: (bodies.append(body), message.ack()))
            eventually(lambda: self._drain(connection) or len(bodies) >= len(self.confirmed), LIMIT)
        return bodies

    @staticmethod
    def _drain(connection: Connection) -> None:
        try:
            while True:
                connection.drain_events(timeout=0.5)
        except TimeoutError:
            return

    def _publish(self) -> None:
        with Connection(self._url) as connection:
            producer, last = Producer(connection), time.monotonic()
            while not self._told.is_set():
                for name in QUEUES:
                    body = f"{name}-{len(self.confirmed)}"
                    producer.publish(body, routing_key=name, retry=True, retry_policy=_POLICY)
                    self.confirmed.append(body)
                    now = time.monotonic()
                    self.longest_gap, last = max(self.longest_gap, now - last), now
