"""Messages that one producer publishes in a second, one by one, in Redis.

Each message is a ``Producer.publish`` through a direct exchange, as for SQLite. A publish of kombu_pool returns when
the server has stored the message. It is compared with Kombu's Redis transport, on a server with the same settings, and
with RabbitMQ with ``confirm_publish``, which waits for the server as well. All queues are durable and all messages
persistent, Kombu's defaults; the Redis servers have no persistence.
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
    """Measure kombu_pool and both peers."""
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
