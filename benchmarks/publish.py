"""Messages that one producer publishes in a second, one by one.

Each message is a ``Producer.publish`` through a direct exchange. SQLite with ``FULL`` is compared with Kombu's
SQLAlchemy transport on SQLite, which waits for the disk as well; SQLite with ``NORMAL`` with Kombu's filesystem
transport, which does not.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from kombu import Producer

from benchmarks import brokers, figures
from benchmarks.children import ask
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.runs import Run

#: Messages before the measurement: enough for the first pages of the files, and for a reused write-ahead log.
WARM_UP = 400


def publish(broker: brokers.Broker, messages: int) -> float:
    """Publish messages and return the rate per second, without the first few."""
    with brokers.connected(broker) as channel:
        producer = Producer(channel, exchange=brokers.QUEUE.exchange, routing_key="bench", auto_declare=False)
        for _ in range(WARM_UP):
            producer.publish(brokers.BODY)
        began = time.perf_counter()
        for _ in range(messages):
            producer.publish(brokers.BODY)
        return messages / (time.perf_counter() - began)


def rate(broker: Callable[[Path], brokers.Broker], messages: int, folder: Path) -> float:
    """Return a broker's rate, measured in a separate process."""
    prepared = broker(folder)
    (folder / "messages").mkdir()
    measured: float = ask(publish, folder, broker=prepared, messages=messages)
    return measured


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure both pairs."""
    count = run.choose
    samples = run.interleave(
        {
            "SQLite FULL": partial(rate, brokers.sqlite_full, count(2000, 200)),
            "sqla+sqlite": partial(rate, brokers.sqlalchemy, count(300, 50)),
            "SQLite NORMAL": partial(rate, brokers.sqlite_normal, count(10_000, 500)),
            "filesystem": partial(rate, brokers.filesystem, count(5000, 500)),
        },
        rounds=7,
    )
    for ours, peer, target in (("SQLite FULL", "sqla+sqlite", 8), ("SQLite NORMAL", "filesystem", 1.5)):
        yield figures.rates(f"publish, {ours}", samples[ours], peer, samples[peer], target)


BENCHMARK = Benchmark("publish", "How many messages does a producer publish in a second?", measure)
