"""Messages that one consumer receives and acknowledges in a second from Redis.

A Kombu ``Consumer`` with a prefetch limit of 64 and a callback that acknowledges each message empties a filled queue,
as for SQLite. Kombu's Redis transport gets fewer messages than the others, so that each takes about as long.

That transport waits for the server several times for each message. A sleeping core takes time to wake up, and the rate
of that transport was twice as high on a machine with other load: compare runs on an idle machine.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.consume import filled_rate
from benchmarks.contenders import sample
from benchmarks.redis import contenders
from benchmarks.redis.contenders import OURS, RABBITMQ, REDIS
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Figure, LeftOut
    from benchmarks.runs import Run


def measure(run: Run) -> Iterator[Figure | LeftOut]:
    """Measure kombu_pool and both peers."""
    many, few = run.choose((20_000, 2000), (500, 500))
    with run.fresh() as folder, contenders.rabbitmq(folder) as url:
        subjects = {
            OURS: partial(sample, contenders.pool_redis, filled_rate, many),
            REDIS: partial(sample, contenders.redis, filled_rate, few),
        }
        if url:
            subjects[RABBITMQ] = partial(sample, contenders.amqp(url), filled_rate, many)
        samples = run.interleave(subjects, rounds=5)
    yield contenders.compared("consume and ack, Redis", samples, REDIS, 20)
    yield contenders.compared("consume and ack, Redis", samples, RABBITMQ, 2.5)


BENCHMARK = Benchmark(
    "redis-consume", "How many messages does a consumer receive and acknowledge in a second on Redis?", measure
)
