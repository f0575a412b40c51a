"""Messages that one consumer takes and acknowledges in a second, when the store is a Redis.

A Kombu ``Consumer`` with a prefetch limit of 64 and a callback that acknowledges each message empties a queue that was
filled before, as for SQLite. Kombu's Redis transport gets fewer messages than the others, so that each is busy for
about as long.

That transport waits for the server several times for each message. A core that sleeps takes a while to wake up, so that
it has been seen to do twice as many on a machine that was busy with something else: compare runs on a quiet one.
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
    """Measure us and both peers."""
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
    "redis-consume", "How many messages does a consumer take and acknowledge in a second on Redis?", measure
)
