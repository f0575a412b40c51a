"""Messages that one consumer receives and acknowledges in a second from MongoDB.

A Kombu ``Consumer`` with a prefetch limit of 64 and a callback that acknowledges each message empties a filled queue,
as for SQLite. Kombu's MongoDB transport removes a message before it delivers it: the unacknowledged messages of a
killed consumer are lost.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks import figures
from benchmarks.consume import filled_rate
from benchmarks.contenders import sample
from benchmarks.mongodb import contenders
from benchmarks.mongodb.contenders import OURS, PEER
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.runs import Run


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure kombu_pool and the peer."""
    many, few = run.choose((10_000, 2000), (500, 500))
    samples = run.interleave(
        {
            OURS: partial(sample, contenders.pool_mongodb, filled_rate, many),
            PEER: partial(sample, contenders.mongodb, filled_rate, few),
        },
        rounds=5,
    )
    yield figures.rates("consume and ack, MongoDB", samples[OURS], PEER, samples[PEER], 8)


BENCHMARK = Benchmark(
    "mongodb-consume", "How many messages does a consumer receive and acknowledge in a second on MongoDB?", measure
)
