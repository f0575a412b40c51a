"""The output of the commands: tables, JSON and times."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Row = tuple[object, ...]
#: Columns of numbers, which are aligned to the right.
_NUMBERS = frozenset(
    {
        "AFTER", "AGE", "CLAIMED", "CLAIMS", "CONSUMERS", "COPIED", "COUNT", "DELAYED", "GROWTH/s", "HELD", "IN/s",
        "LEFT", "MESSAGES", "NOW", "OLDEST", "OUT/s", "PID", "PRIORITY", "QUEUES", "RATE/s", "READY", "REMAINING",
        "REQUEUED", "SHARE", "SIZE", "WEIGHT",
    }
)  # fmt: skip


class Bad(str):
    """A value that is wrong, and printed in red."""

    __slots__ = ()


def print_table(columns: Sequence[str], rows: Iterable[Row], *, empty: str = "Nothing.") -> None:
    """Print a table: aligned on a terminal, else tab-separated for other programs; ``empty`` if it has no row."""
    texts = [[_text(value) for value in row] for row in rows]
    if not texts:
        click.echo(empty)
    elif not is_terminal():
        for line in (columns, *texts):
            click.echo("\t".join(line))
    else:
        try:
            _print_rich(columns, texts)
        except ImportError:
            _print_plain(columns, texts)


def is_terminal() -> bool:
    """Return whether the output is a terminal, or ``FORCE_COLOR`` says that it counts as one."""
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


def _text(value: object) -> str:
    text = "" if value is None else escaped(str(value))
    return Bad(text) if isinstance(value, Bad) else text


def _print_rich(columns: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - the extras [cli] and [celery]
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in _NUMBERS else "left", overflow="fold")
    for line in texts:
        table.add_row(*(Text(value, style="red" if isinstance(value, Bad) else "") for value in line))
    Console().print(table)


def _print_plain(columns: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
    """Print an aligned table without rich; the last column is not padded."""
    widths = [max(len(line[index]) for line in (columns, *texts)) for index in range(len(columns))]
    has_color = not os.environ.get("NO_COLOR")

    def cell(index: int, value: str, style: dict[str, Any]) -> str:
        is_number, is_last = columns[index] in _NUMBERS, index == len(columns) - 1
        padded = value.rjust(widths[index]) if is_number else value if is_last else value.ljust(widths[index])
        return click.style(padded, **style) if style and has_color else padded

    for line in (columns, *texts):
        head: dict[str, Any] = {"bold": True} if line is columns else {}
        styles = [{"fg": "red"} if isinstance(value, Bad) else head for value in line]
        cells = (cell(index, value, style) for index, (value, style) in enumerate(zip(line, styles, strict=True)))
        click.echo(f" {'  '.join(cells)}", color=True)


def print_json(document: object, *, in_one_line: bool = False) -> None:
    """Print a document as JSON, with every character beyond ASCII escaped."""
    click.echo(json.dumps(document, default=str, indent=None if in_one_line else 2))


def warn(text: str) -> None:
    """Print what is wrong to the standard error, in red on a terminal."""
    click.secho(escaped(text), fg="red", err=True)


def escaped(text: str) -> str:
    """Return a text with each character that is not printable, and could move a cursor, as an escape."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def format_time(seconds: float | None) -> str | None:
    """Return a time, given in seconds since the epoch, as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat(" ", "seconds")
