"""Messages that one producer publishes in a second in batches of a hundred, in Redis.

Each batch is a ``Producer.batch``, which returns when the server has stored all of it. It is compared with single
publishes to RabbitMQ without confirms: that producer waits only for space in its socket buffer, and messages that are
still in transit at the end of the measurement count as well.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks import batches
from benchmarks.contenders import sample
from benchmarks.publish import rate
from benchmarks.redis import contenders
from benchmarks.redis.contenders import OURS, RABBITMQ
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Figure, LeftOut
    from benchmarks.runs import Run


def measure(run: Run) -> Iterator[Figure | LeftOut]:
    """Measure kombu_pool and the peer."""
    messages = run.choose(20_000, 400)
    with run.fresh() as folder, contenders.rabbitmq(folder) as url:
        subjects = {OURS: partial(sample, contenders.pool_redis, batches.rate, messages)}
        if url:
            subjects[RABBITMQ] = partial(sample, contenders.amqp(url), rate, messages)
        samples = run.interleave(subjects, rounds=5)
    yield contenders.compared(f"publish in batches of {batches.BATCH}, Redis", samples, RABBITMQ, 2)


BENCHMARK = Benchmark("redis-batch", "How many messages does a producer publish in a second in batches?", measure)
