"""Small charts of a queue's recent points, as the points of an SVG's polyline."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The box of a chart, in units of its SVG.
WIDTH, HEIGHT = 100, 20


def polyline(points: Sequence[int | None], most: int = 60) -> str:
    """Return the points from left to right, the newest at the right end; unknown ones are left out.

    ``most``: how many points fill the chart. The highest point is at the top, 0 at the bottom.
    """
    shown = points[-most:]
    known = [point for point in shown if point is not None]
    if len(known) < 2:  # noqa: PLR2004 - a line has two ends
        return ""
    highest, step = max(known) or 1, WIDTH / max(most - 1, 1)
    start = most - len(shown)
    return " ".join(
        f"{(start + index) * step:.1f},{HEIGHT - 1 - point / highest * (HEIGHT - 2):.1f}"
        for index, point in enumerate(shown)
        if point is not None
    )


def polygon(line: str) -> str:
    """Return the area under a polyline."""
    if not line:
        return ""
    first, last = line.split(" ", 1)[0].partition(",")[0], line.rsplit(" ", 1)[-1].partition(",")[0]
    return f"{first},{HEIGHT} {line} {last},{HEIGHT}"
