"""Messages that one consumer receives and acknowledges in a second.

A Kombu ``Consumer`` with a prefetch limit of 64 and a callback that acknowledges each message empties a filled queue.
The measurement ends when the connection is closed, so that every acknowledgement has reached the store. All brokers
start with the same number of messages, because Kombu's filesystem transport becomes slower with their number.
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
    """Consume and acknowledge the messages, and return the rate per second."""
    remaining = messages

    def arrived(_: Any, message: Any) -> None:
        nonlocal remaining
        message.ack()
        remaining -= 1

    with brokers.connected(broker) as channel:
        client = channel.connection.client
        consumer = Consumer(channel, [brokers.QUEUE], callbacks=[arrived])
        consumer.qos(prefetch_count=brokers.PREFETCH)
        began = time.perf_counter()
        consumer.consume()
        while remaining:
            client.drain_events(timeout=30)
        consumer.cancel()
    return messages / (time.perf_counter() - began)


def filled_rate(broker: Callable[[Path], brokers.Broker], messages: int, folder: Path) -> float:
    """Fill a queue in one process, and return the rate at which another process empties it."""
    rate(broker, messages - WARM_UP, folder)
    measured: float = ask(consume, folder, broker=broker(folder), messages=messages)
    return measured


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure kombu_pool and both peers."""
    messages = run.choose(3000, 500)
    subjects = {
        "SQLite FULL": brokers.sqlite_full,
        "filesystem": brokers.filesystem,
        "sqla+sqlite": brokers.sqlalchemy,
    }
    samples = run.interleave({name: partial(filled_rate, broker, messages) for name, broker in subjects.items()})
    for peer, target in (("filesystem", 10), ("sqla+sqlite", 30)):
        yield figures.rates("consume and ack, SQLite FULL", samples["SQLite FULL"], peer, samples[peer], target)


BENCHMARK = Benchmark("consume", "How many messages does a consumer receive and acknowledge in a second?", measure)
