"""The time from a publish in one process to the callback in another, without other load on Redis.

One process publishes alternately to kombu_pool and to Kombu's Redis transport, after short pauses of random length. The
consumers run in separate processes. The measurement begins before ``Producer.publish`` and ends with the first line of
the callback.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks import latency
from benchmarks.redis import contenders
from benchmarks.redis.contenders import OURS, REDIS
from benchmarks.runs import ROUNDS, Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Figure
    from benchmarks.runs import Run

#: Range of the pauses, in seconds; short, because both consumers are woken by the server instead of polling.
PAUSES = (0.02, 0.08)


def one_round(run: Run, messages: int) -> dict[str, float]:
    """Return the median latency of each broker."""
    with run.fresh() as folder, ExitStack() as stack:
        targets = {
            OURS: stack.enter_context(contenders.pool_redis(folder)),
            REDIS: stack.enter_context(contenders.redis(folder)),
        }
        return latency.one_round(targets, messages, PAUSES, folder)


def measure(run: Run) -> Iterator[Figure]:
    """Measure kombu_pool and the peer alternately."""
    rounds, messages = run.choose((ROUNDS, 100), (1, 5))
    found = []
    with run.progress.steps(rounds) as step:
        for _ in range(rounds):
            step(f"{OURS} and {REDIS}")
            found.append(one_round(run, messages))
    ours, theirs = ([each[name] for each in found] for name in (OURS, REDIS))
    yield latency.figure("latency when idle, p50, Redis", ours, theirs, REDIS, 1)


BENCHMARK = Benchmark("redis-latency", "How soon does a waiting consumer on Redis receive a message?", measure)
