"""Publishing in batches, for the benchmarks of several stores."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kombu import Producer

from benchmarks import brokers
from benchmarks.children import ask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Messages in a batch.
BATCH = 100
#: Batches before the measurement.
WARM_UP = 4


def publish(broker: brokers.Broker, messages: int) -> float:
    """Publish messages in batches and return the rate per second, without the first few."""
    with brokers.connected(broker) as channel:
        producer = Producer(channel, exchange=brokers.QUEUE.exchange, routing_key="bench", auto_declare=False)
        for _ in range(WARM_UP):
            _publish_batch(producer)
        began = time.perf_counter()
        for _ in range(messages // BATCH):
            _publish_batch(producer)
        return messages / (time.perf_counter() - began)


def _publish_batch(producer: Producer) -> None:
    with producer.batch():
        for _ in range(BATCH):
            producer.publish(brokers.BODY)


def rate(broker: Callable[[Path], brokers.Broker], messages: int, folder: Path) -> float:
    """Return a broker's rate, measured in a separate process."""
    measured: float = ask(publish, folder, broker=broker(folder), messages=messages)
    return measured
