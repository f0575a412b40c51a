"""Messages that one producer publishes in a second, one by one, when the store is a MongoDB.

Each message is a ``Producer.publish`` through a direct exchange, as for SQLite. Ours and Kombu's MongoDB transport each
have a server of their own, a replica set of one member, as it comes. A publish to either returns when the server has
the message in its journal: ours asks for that (``w=majority``, ``journal=true``), and Kombu's transport gets MongoDB's
default, which has been the same since version 5.0.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks import figures
from benchmarks.contenders import sample
from benchmarks.mongodb import contenders
from benchmarks.mongodb.contenders import OURS, PEER
from benchmarks.publish import rate
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.runs import Run


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure us and the peer."""
    messages = run.choose(3000, 200)
    samples = run.interleave(
        {
            OURS: partial(sample, contenders.pool_mongodb, rate, messages),
            PEER: partial(sample, contenders.mongodb, rate, messages),
        },
        rounds=5,
    )
    yield figures.rates("publish, MongoDB", samples[OURS], PEER, samples[PEER], 1.5)


BENCHMARK = Benchmark("mongodb-publish", "How many messages does a producer publish in a second on MongoDB?", measure)
