"""Messages that one producer publishes in a second, one by one, in MongoDB.

Each message is a ``Producer.publish`` through a direct exchange, as for SQLite. kombu_pool and Kombu's MongoDB
transport each have a private server, a replica set of one member with default settings. A publish to either returns
when the server has the message in its journal: kombu_pool requests that (``w=majority``, ``journal=true``), and Kombu's
transport uses MongoDB's default, which has been the same since version 5.0.

kombu_pool is also compared with a bare insertion of a document of the same size, which waits for the journal as well:
the least cost of a message with one wait for the journal.
"""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import brokers, figures
from benchmarks.children import ask
from benchmarks.contenders import sample
from benchmarks.mongodb import contenders
from benchmarks.mongodb.contenders import OURS, PEER
from benchmarks.publish import WARM_UP, rate
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.runs import Run

BARE = "insert_one"


def insert(broker: brokers.Broker, messages: int) -> float:
    """Insert durable documents and return the rate per second, without the first few."""
    from pymongo import MongoClient, WriteConcern  # noqa: PLC0415 - only needed for MongoDB

    url, _ = broker
    with MongoClient[dict[str, object]](url) as client:
        durable = WriteConcern("majority", j=True)
        collection = client.get_default_database().get_collection("bare", write_concern=durable)
        body = json.dumps(brokers.BODY)
        for _ in range(WARM_UP):
            collection.insert_one({"body": body})
        began = time.perf_counter()
        for _ in range(messages):
            collection.insert_one({"body": body})
        return messages / (time.perf_counter() - began)


def bare_rate(broker: Callable[[Path], brokers.Broker], messages: int, folder: Path) -> float:
    """Return the rate of bare insertions, measured in a separate process."""
    measured: float = ask(insert, folder, broker=broker(folder), messages=messages)
    return measured


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure kombu_pool, the peer, and bare insertions."""
    messages = run.choose(3000, 100)
    samples = run.interleave(
        {
            OURS: partial(sample, contenders.pool_mongodb, rate, messages),
            PEER: partial(sample, contenders.mongodb, rate, messages),
            BARE: partial(sample, contenders.mongodb, bare_rate, messages),
        },
        rounds=5,
    )
    yield figures.rates("publish, MongoDB", samples[OURS], PEER, samples[PEER], 1.5)
    yield figures.rates("publish, MongoDB, compared with a bare insertion", samples[OURS], BARE, samples[BARE], 0.75)


BENCHMARK = Benchmark("mongodb-publish", "How many messages does a producer publish in a second on MongoDB?", measure)
