"""The report of a run: a plain table, and a page with a picture."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, LeftOut

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.runs import Benchmark

HEADINGS = ("figure", "kombu_pool", "compared with", "value", "target", "met")


def cells(line: Figure | LeftOut) -> tuple[str, ...]:
    """Return the cells of one line."""
    if isinstance(line, LeftOut):
        return (line.what, "", line.why, "", "", "left out")
    return (line.what, line.ours, line.peer, line.shown, line.shown_target, "yes" if line.met else "NO")


def measured(lines: Sequence[Figure | LeftOut]) -> list[Figure]:
    """Return the figures that were not left out."""
    return [line for line in lines if isinstance(line, Figure)]


def table(lines: Sequence[Figure | LeftOut]) -> str:
    """Return the table as plain text."""
    rows = [HEADINGS, *map(cells, lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([texts[0], "  ".join("-" * width for width in widths), *texts[1:], "", verdict(lines)])


def verdict(lines: Sequence[Figure | LeftOut]) -> str:
    """Return how many targets were met."""
    figures = measured(lines)
    return f"{sum(figure.met for figure in figures)} of {len(figures)} targets met."


def write(folder: Path, lines: Sequence[Figure | LeftOut], benchmarks: Sequence[Benchmark], machine: str) -> None:
    """Write the page and the picture."""
    from benchmarks.picture import draw  # noqa: PLC0415 - matplotlib takes a second to load

    folder.mkdir(parents=True, exist_ok=True)
    draw(folder / "benchmarks.png", measured(lines))
    (folder / "benchmarks.md").write_text(page(lines, benchmarks, machine), encoding="utf-8")


def page(lines: Sequence[Figure | LeftOut], benchmarks: Sequence[Benchmark], machine: str) -> str:
    """Return the page, as Markdown."""
    text = [
        "# Benchmarks",
        "",
        "The results of the last full run of `make bench`, compared with Kombu's own transports. Bodies are JSON of",
        "400 bytes; every rate is the median of at least three rounds, measured alternately, each in new processes.",
        "",
        f"{machine}. {verdict(lines)}",
        "",
        _row(HEADINGS),
        _row(["---"] * len(HEADINGS)),
        *map(_row, map(cells, lines)),
        "",
        "![Each figure against its target](benchmarks.png)",
        "",
        "## How each is measured",
    ]
    for benchmark in benchmarks:
        text += ["", f"### {benchmark.question}", "", _method(benchmark)]
    return "\n".join(text) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _method(benchmark: Benchmark) -> str:
    """Return how a benchmark is measured: the docstring of its module."""
    text = inspect.getdoc(sys.modules[benchmark.measure.__module__]) or ""
    return text.replace("``", "`")
