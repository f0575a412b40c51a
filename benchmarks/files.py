"""The size of SQLite's files, write-ahead log included, while a million messages pass through.

Two producers and two consumers run during the whole measurement; the largest observed size counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import figures, traffic
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.runs import Run


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure the files."""
    messages = run.choose(1_000_000, 5000)
    with run.progress.steps(1) as step, run.fresh() as folder:
        step(f"{messages:,} messages")
        seen = traffic.flow(folder, messages, producers=2, consumers=2)
    yield figures.Figure(
        f"files of SQLite, {messages:,} messages published and consumed",
        f"largest {seen.largest:.0f} MB, left {seen.left:.0f} MB",
        "",
        seen.largest,
        100,
        "MB",
        at_most=True,
    )


BENCHMARK = Benchmark("files", "How large do the files get?", measure)
