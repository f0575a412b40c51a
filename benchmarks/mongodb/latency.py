"""The time from a publish in one process to the callback in another, without other load on MongoDB.

One process publishes alternately to kombu_pool and to Kombu's MongoDB transport, after pauses of random length, so that
a polling consumer is met at any point of its interval. The consumers run in separate processes. The measurement begins
before ``Producer.publish``, which waits for the journal, and ends with the first line of the callback.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks import latency
from benchmarks.latency import PAUSES
from benchmarks.mongodb import contenders
from benchmarks.mongodb.contenders import OURS, PEER
from benchmarks.runs import ROUNDS, Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Figure
    from benchmarks.runs import Run


def one_round(run: Run, messages: int) -> dict[str, float]:
    """Return the median latency of each broker."""
    with run.fresh() as folder, ExitStack() as stack:
        targets = {
            OURS: stack.enter_context(contenders.pool_mongodb(folder)),
            PEER: stack.enter_context(contenders.mongodb(folder)),
        }
        return latency.one_round(targets, messages, PAUSES, folder)


def measure(run: Run) -> Iterator[Figure]:
    """Measure kombu_pool and the peer alternately."""
    rounds, messages = run.choose((ROUNDS, 25), (1, 3))
    found = []
    with run.progress.steps(rounds) as step:
        for _ in range(rounds):
            step(f"{OURS} and {PEER}")
            found.append(one_round(run, messages))
    ours, theirs = ([each[name] for each in found] for name in (OURS, PEER))
    yield latency.figure("latency when idle, p50, MongoDB", ours, theirs, PEER, 1 / 30)


BENCHMARK = Benchmark("mongodb-latency", "How soon does a waiting consumer on MongoDB receive a message?", measure)
