"""Messages that one producer publishes in a second in batches of a hundred, when the store is a Redis.

Each batch is a ``Producer.batch``, which returns when the server has stored all of it. Beside it is RabbitMQ without
confirms, one message after another: that producer waits for nothing but room on its socket, and what is still on its
way when the clock stops counts for it all the same.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from kombu import Producer

from benchmarks import brokers
from benchmarks.children import ask
from benchmarks.publish import rate
from benchmarks.redis import contenders
from benchmarks.redis.contenders import OURS, RABBITMQ, sample
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.figures import Figure, LeftOut
    from benchmarks.runs import Run

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


def batch_rate(broker: Callable[[Path], brokers.Broker], messages: int, folder: Path) -> float:
    """Return a broker's rate, found in a process of its own."""
    found: float = ask(publish, folder, broker=broker(folder), messages=messages)
    return found


def measure(run: Run) -> Iterator[Figure | LeftOut]:
    """Measure us and the peer."""
    messages = run.choose(20_000, 400)
    with run.fresh() as folder, contenders.rabbitmq(folder) as url:
        subjects = {OURS: partial(sample, contenders.pool_redis, batch_rate, messages)}
        if url:
            subjects[RABBITMQ] = partial(sample, contenders.amqp(url), rate, messages)
        samples = run.interleave(subjects, rounds=5)
    yield contenders.compared(f"publish in batches of {AT_ONCE}, Redis", samples, RABBITMQ, 2)


BENCHMARK = Benchmark("redis-batch", "How many messages does a producer publish in a second in batches?", measure)
