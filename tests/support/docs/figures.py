"""Fills in the figures of the page on performance from the benchmarks: ``python -m tests.support.docs.figures``."""

from __future__ import annotations

import re

from tests.support.docs.pages import ROOT

PAGE = ROOT / "docs" / "performance.md"
BENCHMARKS = ROOT / "docs" / "benchmarks.md"
#: A row of the benchmarks: figure, kombu_pool, compared with, value, target, met.
_ROW = re.compile(r"^\| (.+?) \| (.+?) \| (.*?) \| (.+?) \| [≥≤].*? \| (?:yes|NO) \|$", re.MULTILINE)
#: The names of figures, and the table that follows them.
_TABLE = re.compile(r"<!-- figures: (.+?) -->\n(?:\n(?:\|.*\n)+)?")
_HEAD = "| figure | kombu_pool | compared with | |\n|---|---|---|---|\n"


def filled(page: str, benchmarks: str) -> str:
    """Return the page with the tables that its comments name.

    Raises:
        KeyError: the benchmarks have no figure of such a name.
    """
    rows: dict[str, list[str]] = {}
    for name, ours, other, value in _ROW.findall(benchmarks):
        rows.setdefault(name, []).append(f"| {name} | {ours} | {other} | {value} |\n")

    def table(found: re.Match[str]) -> str:
        lines = [line for name in found[1].split("; ") for line in rows[name]]
        return f"<!-- figures: {found[1]} -->\n\n{_HEAD}{''.join(lines)}"

    return _TABLE.sub(table, page)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(), BENCHMARKS.read_text()))
