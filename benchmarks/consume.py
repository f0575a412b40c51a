"""Messages that one consumer takes and acknowledges in a second.

A Kombu ``Consumer`` with a prefetch limit of 64 and a callback that acknowledges each message empties a queue that was
filled before. The clock stops when the connection is closed, so that every acknowledgement has reached the store. All
brokers start with the same number of messages, since Kombu's file transport is the slower the more there are.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from kombu import Consumer

from benchmarks import brokers, figures
from benchmarks.children import ask
from benchmarks.publish import WARM_UP, rate
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.runs import Run


def consume(broker: brokers.Broker, messages: int) -> float:
    """Consume and acknowledge so many messages, and return how many a second."""
    left = messages

    def arrived(_: Any, message: Any) -> None:
        nonlocal left
        message.ack()
        left -= 1

    with brokers.connected(broker) as channel:
        client = channel.connection.client
        consumer = Consumer(channel, [brokers.QUEUE], callbacks=[arrived])
        consumer.qos(prefetch_count=brokers.PREFETCH)
        began = time.perf_counter()
        consumer.consume()
        while left:
            client.drain_events(timeout=30)
        consumer.cancel()
    return messages / (time.perf_counter() - began)


def filled_rate(broker: Callable[[Path], brokers.Broker], messages: int, folder: Path) -> float:
    """Fill a queue in one process, and return the rate at which another empties it."""
    rate(broker, messages - WARM_UP, folder)
    found: float = ask(consume, folder, broker=broker(folder), messages=messages)
    return found


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure us and both peers."""
    messages = run.choose(3000, 500)
    subjects = {
        "SQLite FULL": brokers.sqlite_full,
        "filesystem": brokers.filesystem,
        "sqla+sqlite": brokers.sqlalchemy,
    }
    samples = run.interleave({name: partial(filled_rate, broker, messages) for name, broker in subjects.items()})
    for peer, target in (("filesystem", 10), ("sqla+sqlite", 30)):
        yield figures.rates("consume and ack, SQLite FULL", samples["SQLite FULL"], peer, samples[peer], target)


BENCHMARK = Benchmark("consume", "How many messages does a consumer take and acknowledge in a second?", measure)
