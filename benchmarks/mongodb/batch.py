"""Messages that one producer publishes in a second in batches of a hundred, in MongoDB.

Each batch is a ``Producer.batch``, which returns when the server has stored all of it, in one transaction. Kombu's
MongoDB transport has no batches: it publishes single messages, each acknowledged in the same way as a batch.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks import batches, figures
from benchmarks.contenders import sample
from benchmarks.mongodb import contenders
from benchmarks.mongodb.contenders import OURS, PEER
from benchmarks.publish import rate
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.runs import Run


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure kombu_pool and the peer."""
    many, few = run.choose((20_000, 3000), (400, 100))
    samples = run.interleave(
        {
            OURS: partial(sample, contenders.pool_mongodb, batches.rate, many),
            PEER: partial(sample, contenders.mongodb, rate, few),
        },
        rounds=5,
    )
    what = f"publish in batches of {batches.BATCH}, MongoDB"
    yield figures.rates(what, samples[OURS], PEER, samples[PEER], 10)


BENCHMARK = Benchmark(
    "mongodb-batch", "How many messages does a producer publish in a second in batches on MongoDB?", measure
)
