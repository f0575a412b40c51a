"""Asks the questions, prints the table, and writes the page and the picture: ``python -m benchmarks [STORE]``."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import (
    backlog,
    consume,
    files,
    idle,
    latency,
    machine,
    memory,
    overhead,
    progress,
    publish,
    report,
    servers,
    tasks,
)
from benchmarks.children import ROOT
from benchmarks.figures import LeftOut
from benchmarks.mongodb.questions import QUESTIONS as MONGODB
from benchmarks.redis.questions import QUESTIONS as REDIS
from benchmarks.runs import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.figures import Figure
    from benchmarks.runs import Benchmark

SQLITE = (publish, consume, latency, tasks, backlog, idle, memory, files)
STORES = {
    store: {question.BENCHMARK.name: question.BENCHMARK for question in questions}
    for store, questions in {"sqlite": SQLITE, "redis": REDIS, "mongodb": MONGODB, "memory": [overhead]}.items()
}
#: What the questions about a store cannot do without: its name, and whether it is here.
SERVERS = {"redis": ("Redis", servers.has_redis), "mongodb": ("MongoDB", servers.has_mongodb)}
BENCHMARKS = {name: benchmark for benchmarks in STORES.values() for name, benchmark in benchmarks.items()}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("store", nargs="?", choices=STORES, help="ask only about this store (default: all)")
    parser.add_argument("--quick", action="store_true", help="few messages, one round: shows that all of it works")
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--folder", help="where the stores are to lie, on a local disk (default: the temporary folder)")
    parser.add_argument("--docs", type=Path, help="where to write the page (default: docs/ after a full run)")
    return parser.parse_args()


def main() -> None:
    """Be the command."""
    given = arguments()
    chosen = [BENCHMARKS[name] for name in given.only or STORES.get(given.store, BENCHMARKS)]
    where = given.folder or tempfile.gettempdir()
    if machine.file_system(where) == "tmpfs":
        print(f"{where} is not on a disk: waiting for it costs nothing there. Name a folder with --folder.")
    found = ask_all(chosen, folder=given.folder, quick=given.quick)
    print(report.table(found))
    docs = given.docs or (None if given.quick or given.only or given.store else ROOT / "docs")
    if docs:
        report.write(docs, found, chosen, machine.description(where))


def ask_all(chosen: Sequence[Benchmark], *, folder: str | None, quick: bool) -> list[Figure | LeftOut]:
    """Ask questions, one after another, and return all lines of the table."""
    found: list[Figure | LeftOut] = []
    with progress.shown(len(chosen)) as shown:
        run = Run(shown, folder, quick=quick)
        for benchmark in chosen:
            shown.question(benchmark.name)
            if server := missing(benchmark):
                found.append(LeftOut(benchmark.name, f"no {server} here"))
            else:
                found += benchmark.measure(run)
    return found


def missing(benchmark: Benchmark) -> str | None:
    """Return the name of the server that a question is about and that is not here, or None."""
    stores = (
        SERVERS[store] for store, benchmarks in STORES.items() if store in SERVERS and benchmark.name in benchmarks
    )
    return next((name for name, is_here in stores if not is_here()), None)


if __name__ == "__main__":
    main()
