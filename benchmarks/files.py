"""The size of SQLite's files, write-ahead log included, while a million messages come and go.

Two producers and two consumers run all the while; the largest size that was ever seen is what counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import figures, traffic
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.runs import Run


def measure(run: Run) -> Iterator[figures.Figure]:
    """Watch the files."""
    messages = run.choose(1_000_000, 5000)
    with run.progress.steps(1) as step, run.fresh() as folder:
        step(f"{messages:,} messages")
        seen = traffic.flow(folder, messages, producers=2, consumers=2)
    yield figures.Figure(
        f"files of SQLite, {messages:,} messages came and went",
        f"largest {seen.largest:.0f} MB, left {seen.left:.0f} MB",
        "",
        seen.largest,
        100,
        "MB",
        at_most=True,
    )


BENCHMARK = Benchmark("files", "How large do the files get?", measure)
