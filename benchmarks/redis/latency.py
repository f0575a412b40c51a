"""The time from a publish in one process to the callback in another, while nothing else happens on a Redis.

One process publishes to us and to Kombu's Redis transport in turn, after short pauses of random length. A consumer of
each waits in a process of its own. The clock starts before ``Producer.publish`` and stops with the first line of the
callback.
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

#: Seconds; both consumers sleep until the server wakes them, so that it does not matter when.
PAUSES = (0.02, 0.08)


def one_round(run: Run, messages: int) -> dict[str, float]:
    """Return the median latency of each."""
    with run.fresh() as folder, ExitStack() as stack:
        targets = {
            OURS: stack.enter_context(contenders.pool_redis(folder)),
            REDIS: stack.enter_context(contenders.redis(folder)),
        }
        return latency.one_round(targets, messages, PAUSES, folder)


def measure(run: Run) -> Iterator[Figure]:
    """Measure us and the peer, by turns."""
    rounds, messages = run.choose((ROUNDS, 100), (1, 5))
    found = []
    with run.progress.steps(rounds) as step:
        for _ in range(rounds):
            step(f"{OURS} and {REDIS}")
            found.append(one_round(run, messages))
    ours, theirs = ([each[name] for each in found] for name in (OURS, REDIS))
    yield latency.figure("latency when idle, p50, Redis", ours, theirs, REDIS, 1)


BENCHMARK = Benchmark("redis-latency", "How soon does a waiting consumer on Redis get what is published?", measure)
