"""Publishing in batches, which several stores are asked about."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kombu import Producer

from benchmarks import brokers
from benchmarks.children import ask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AT_ONCE = 100
#: Batches that do not count.
WARM_UP = 4


def publish(broker: brokers.Broker, messages: int) -> float:
    """Publish messages in batches and return how many a second; the first few do not count."""
    with brokers.connected(broker) as channel:
        producer = Producer(channel, exchange=brokers.QUEUE.exchange, routing_key="bench", auto_declare=False)
        for _ in range(WARM_UP):
            _one(producer)
        began = time.perf_counter()
        for _ in range(messages // AT_ONCE):
            _one(producer)
        return messages / (time.perf_counter() - began)


def _one(producer: Producer) -> None:
    with producer.batch():
        for _ in range(AT_ONCE):
            producer.publish(brokers.BODY)


def rate(broker: Callable[[Path], brokers.Broker], messages: int, folder: Path) -> float:
    """Return a broker's rate, found in a process of its own."""
    found: float = ask(publish, folder, broker=broker(folder), messages=messages)
    return found
