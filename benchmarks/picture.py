"""Draws the chart of the figures and their targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.figures import Figure

MET, MISSED, INK = "#2f7d6b", "#c8553d", "#333333"
#: Longest bar; a figure near zero would have an endless one.
MAX_MARGIN = 100.0


def draw(path: Path, figures: Sequence[Figure]) -> None:
    """Draw a bar for each figure: how many times better it is than its target."""
    plt.rcParams.update({"font.size": 9, "text.color": INK, "axes.labelcolor": INK, "font.family": "DejaVu Sans"})
    drawing, axes = plt.subplots(figsize=(10, 0.42 * len(figures) + 1.3), layout="constrained")
    margins = [min(figure.margin, MAX_MARGIN) for figure in figures]
    axes.barh(
        [figure.what + _peer_suffix(figure) for figure in figures],
        [margin - 1 for margin in margins],
        left=1,
        height=0.62,
        color=[MET if figure.met else MISSED for figure in figures],
    )
    for row, figure in enumerate(figures):
        _label(axes, row, figure, margins[row])
    _frame(axes, margins)
    drawing.savefig(path, dpi=150)
    plt.close(drawing)


def _peer_suffix(figure: Figure) -> str:
    """Return the name of the peer, which distinguishes bars of the same figure."""
    return f" / {figure.peer.split()[0]}" if figure.unit == "x" and figure.peer else ""


def _label(axes: Axes, row: int, figure: Figure, margin: float) -> None:
    axes.annotate(
        f"{figure.shown}  (target {figure.shown_target})",
        (max(margin, 1), row),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )


def _frame(axes: Axes, margins: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(min(0.5, min(margins) / 2), max(margins) * 12)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} x")
    axes.axvline(1, color=INK, linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("times better than the target (logarithmic)")
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="x", alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
