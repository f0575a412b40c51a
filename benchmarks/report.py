"""Shows what a run found: a table to read now, and a page with a picture to keep."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, LeftOut

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.runs import Benchmark

HEADINGS = ("figure", "ours", "beside", "value", "target", "met")


def cells(line: Figure | LeftOut) -> tuple[str, ...]:
    """Return the cells of one line."""
    if isinstance(line, LeftOut):
        return (line.what, "", line.why, "", "", "left out")
    return (line.what, line.ours, line.peer, line.shown, line.shown_target, "yes" if line.met else "NO")


def taken(found: Sequence[Figure | LeftOut]) -> list[Figure]:
    """Return the figures that were not left out."""
    return [line for line in found if isinstance(line, Figure)]


def table(found: Sequence[Figure | LeftOut]) -> str:
    """Return the table as plain text."""
    lines = [HEADINGS, *map(cells, found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([texts[0], "  ".join("-" * width for width in widths), *texts[1:], "", verdict(found)])


def verdict(found: Sequence[Figure | LeftOut]) -> str:
    """Count the targets that were met."""
    figures = taken(found)
    return f"{sum(figure.met for figure in figures)} of {len(figures)} targets met."


def write(folder: Path, found: Sequence[Figure | LeftOut], benchmarks: Sequence[Benchmark], machine: str) -> None:
    """Write the page and the picture."""
    from benchmarks.picture import draw  # noqa: PLC0415 - matplotlib takes a second to load

    folder.mkdir(parents=True, exist_ok=True)
    draw(folder / "benchmarks.png", taken(found))
    (folder / "benchmarks.md").write_text(page(found, benchmarks, machine), encoding="utf-8")


def page(found: Sequence[Figure | LeftOut], benchmarks: Sequence[Benchmark], machine: str) -> str:
    """Return the page, as Markdown."""
    lines = [
        "# Benchmarks",
        "",
        "The results of the last full run of `make bench`, beside Kombu's own transports. Bodies are JSON",
        "of 400 bytes; every rate is the median of at least three rounds, taken in turn, each in fresh processes.",
        "",
        f"{machine}. {verdict(found)}",
        "",
        _row(HEADINGS),
        _row(["---"] * len(HEADINGS)),
        *map(_row, map(cells, found)),
        "",
        "![Each figure against its target](benchmarks.png)",
        "",
        "## How each is measured",
    ]
    for benchmark in benchmarks:
        lines += ["", f"### {benchmark.question}", "", _method(benchmark)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _method(benchmark: Benchmark) -> str:
    """Return how it is measured: what the benchmark's module says of itself."""
    said = inspect.getdoc(sys.modules[benchmark.measure.__module__]) or ""
    return said.replace("``", "`")
