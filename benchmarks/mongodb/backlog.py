"""The rates of publishing, claiming and acknowledging with a million waiting messages in MongoDB.

One server is filled with a thousand messages, another with a million, in posts of a thousand. A process then repeats
the same cycle on each through the library, as for SQLite: post 64 messages one by one, claim 64, acknowledge these 64,
so that the queue keeps its length.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks import backlog, servers
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Figure
    from benchmarks.runs import Run


def measure(run: Run) -> Iterator[Figure]:
    """Fill both servers, then measure them alternately."""
    depths = (backlog.SHALLOW, run.choose(backlog.DEEP, 5000))
    with run.fresh() as folder, ExitStack() as stack:
        stores = {depth: stack.enter_context(servers.mongodb(folder)) for depth in depths}
        yield from backlog.compared(run, ", MongoDB", stores)


BENCHMARK = Benchmark("mongodb-backlog", "Does a long queue slow kombu_pool down on MongoDB?", measure)
