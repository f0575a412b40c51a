"""Whether publishing, claiming and acknowledging keep their pace with a million messages waiting in a MongoDB.

One server gets a thousand messages, another a million, in posts of a thousand. A process then does the same to each
through the library, as for SQLite: post 64 messages one by one, claim 64, acknowledge these 64, again and again, so
that as many wait as before.
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
    """Fill both servers, then work on them by turns."""
    depths = (backlog.SHALLOW, run.choose(backlog.DEEP, 20_000))
    with run.fresh() as folder, ExitStack() as stack:
        stores = {depth: stack.enter_context(servers.mongodb(folder)) for depth in depths}
        yield from backlog.compared(run, ", MongoDB", stores)


BENCHMARK = Benchmark("mongodb-backlog", "Does a long queue slow us down on MongoDB?", measure)
