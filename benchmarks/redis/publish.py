"""Messages that one producer publishes in a second, one by one, when the store is a Redis.

Each message is a ``Producer.publish`` through a direct exchange, as for SQLite. Ours returns when the server has stored
the message; beside it are Kombu's Redis transport, on a server with the same settings, and RabbitMQ with
``confirm_publish``, which waits for the server too. All queues are durable and all messages persistent, as Kombu makes
them; the Redis servers keep everything in memory.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.contenders import sample
from benchmarks.publish import rate
from benchmarks.redis import contenders
from benchmarks.redis.contenders import OURS, REDIS
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Figure, LeftOut
    from benchmarks.runs import Run

CONFIRMING = "RabbitMQ confirming"


def measure(run: Run) -> Iterator[Figure | LeftOut]:
    """Measure us and both peers."""
    many, few = run.choose((10_000, 2000), (200, 50))
    with run.fresh() as folder, contenders.rabbitmq(folder) as url:
        subjects = {
            OURS: partial(sample, contenders.pool_redis, rate, many),
            REDIS: partial(sample, contenders.redis, rate, few),
        }
        if url:
            subjects[CONFIRMING] = partial(sample, contenders.amqp(url, confirm_publish=True), rate, few)
        samples = run.interleave(subjects, rounds=5)
    yield contenders.compared("publish, Redis", samples, REDIS, 3.5)
    yield contenders.compared("publish, Redis", samples, CONFIRMING, 3)


BENCHMARK = Benchmark("redis-publish", "How many messages does a producer publish in a second on Redis?", measure)
