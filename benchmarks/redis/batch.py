"""Messages that one producer publishes in a second in batches of a hundred, when the store is a Redis.

Each batch is a ``Producer.batch``, which returns when the server has stored all of it. Beside it is RabbitMQ without
confirms, one message after another: that producer waits for nothing but room on its socket, and what is still on its
way when the clock stops still counts for it.
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
    """Measure us and the peer."""
    messages = run.choose(20_000, 400)
    with run.fresh() as folder, contenders.rabbitmq(folder) as url:
        subjects = {OURS: partial(sample, contenders.pool_redis, batches.rate, messages)}
        if url:
            subjects[RABBITMQ] = partial(sample, contenders.amqp(url), rate, messages)
        samples = run.interleave(subjects, rounds=5)
    yield contenders.compared(f"publish in batches of {batches.AT_ONCE}, Redis", samples, RABBITMQ, 2)


BENCHMARK = Benchmark("redis-batch", "How many messages does a producer publish in a second in batches?", measure)
