"""The output of the commands: tables and times."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Row = tuple[object, ...]


def print_table(columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Print a table: formatted on a terminal where rich is installed, else tab-separated for other programs."""
    texts = [["" if value is None else str(value) for value in row] for row in rows]
    try:
        from rich.console import Console  # noqa: PLC0415 - the extra [cli]
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415
    except ImportError:
        console = None
    else:
        console = Console()
    if console is None or not console.is_terminal:
        for line in (columns, *texts):
            click.echo("\t".join(line))
        return
    table = Table(*columns, box=None, header_style="bold")
    for line in texts:
        table.add_row(*(Text(value, overflow="fold") for value in line))
    console.print(table)


def format_time(seconds: float | None) -> str | None:
    """Return a time, given in seconds since the epoch, as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat(" ", "seconds")
