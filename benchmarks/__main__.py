"""Runs the benchmarks, prints the table, and writes the page and the picture: ``python -m benchmarks [STORE]``."""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
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
    queue_list,
    report,
    servers,
    tasks,
    writers,
)
from benchmarks.children import ROOT
from benchmarks.figures import LeftOut
from benchmarks.keys.questions import QUESTIONS as KEYS
from benchmarks.mongodb.questions import QUESTIONS as MONGODB
from benchmarks.redis.questions import QUESTIONS as REDIS
from benchmarks.runs import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.figures import Figure
    from benchmarks.runs import Benchmark

SQLITE = (publish, writers, consume, latency, tasks, backlog, idle, memory, files)
STORES = {
    store: {question.BENCHMARK.name: question.BENCHMARK for question in questions}
    for store, questions in {"sqlite": SQLITE, "redis": REDIS, "mongodb": MONGODB, "memory": [overhead]}.items()
}
#: Store -> the name of the server that its benchmarks need, and whether it is installed.
SERVERS = {"redis": ("Redis", servers.has_redis), "mongodb": ("MongoDB", servers.has_mongodb)}
#: Benchmarks of all stores under load, which a full run leaves out: ``python -m benchmarks load``.
LOAD = {question.BENCHMARK.name: question.BENCHMARK for question in (*KEYS, queue_list)}
FULL = {name: benchmark for benchmarks in STORES.values() for name, benchmark in benchmarks.items()}
BENCHMARKS = FULL | LOAD


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "store", nargs="?", choices=[*STORES, "load"], help="run only the benchmarks of this store, or those under load"
    )
    parser.add_argument("--quick", action="store_true", help="few messages, one round: checks that all benchmarks work")
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--folder", help="folder of the stores, on a local disk (default: the temporary folder)")
    parser.add_argument("--docs", type=Path, help="folder of the page (default: docs/ after a full run)")
    return parser.parse_args()


def main() -> None:
    """Run the command."""
    options = arguments()
    selected = [BENCHMARKS[name] for name in options.only or {**STORES, "load": LOAD}.get(options.store, FULL)]
    folder = options.folder or tempfile.gettempdir()
    if machine.file_system(folder) == "tmpfs":
        print(f"{folder} is in memory, where disk writes cost nothing; choose a folder on a disk with --folder.")
    lines = run_all(selected, folder=options.folder, quick=options.quick)
    print(report.table(lines))
    docs = options.docs or (None if options.quick or options.only or options.store else ROOT / "docs")
    if docs:
        report.write(docs, lines, selected, machine.description(folder))


def run_all(selected: Sequence[Benchmark], *, folder: str | None, quick: bool) -> list[Figure | LeftOut]:
    """Run the benchmarks one after another, and return all lines of the table."""
    lines: list[Figure | LeftOut] = []
    with ExitStack() as stack:
        display = stack.enter_context(progress.display(len(selected)))
        run = Run(display, folder, quick=quick)
        if quick:
            stack.enter_context(servers.shared_mongodb(stack.enter_context(run.fresh())))
        for benchmark in selected:
            display.begin(benchmark.name)
            if server := missing_server(benchmark):
                lines.append(LeftOut(benchmark.name, f"no {server} here"))
            else:
                lines += benchmark.measure(run)
    return lines


def missing_server(benchmark: Benchmark) -> str | None:
    """Return the name of the server that a benchmark needs and that is not installed; None if there is none."""
    stores = (
        SERVERS[store] for store, benchmarks in STORES.items() if store in SERVERS and benchmark.name in benchmarks
    )
    return next((name for name, is_installed in stores if not is_installed()), None)


if __name__ == "__main__":
    main()
