"""The results of a benchmark: figures, each with its target."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Share of the target below which a figure with an upper target counts as this share.
_LEAST_SHARE = 0.001


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    ``value`` is compared with the target: a ratio (``unit`` "x"), or a quantity.
    """

    what: str
    ours: str
    peer: str
    value: float
    target: float
    unit: str = "x"
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Return whether the target is met."""
        return self.value <= self.target if self.at_most else self.value >= self.target

    @property
    def margin(self) -> float:
        """How many times better the figure is than its target; below 1 it is worse."""
        if not self.at_most:
            return self.value / self.target
        # A target of 0 counts as one.
        target = self.target or 1.0
        return target / max(self.value + target - self.target, target * _LEAST_SHARE)

    @property
    def shown(self) -> str:
        """The value as printed in the table."""
        return f"{_number(self.value)} {self.unit}"

    @property
    def shown_target(self) -> str:
        """The target as printed in the table."""
        return f"{'≤' if self.at_most else '≥'} {_number(self.target)} {self.unit}"


@dataclass(frozen=True)
class LeftOut:
    """The line of a figure that could not be measured on this machine; it does not count as a missed target."""

    what: str
    why: str


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the rounds' ratios, because a slow machine slows both subjects of a round."""
    return median(mine / other for mine, other in zip(ours, theirs, strict=True))


def rates(what: str, ours: Sequence[float], peer: str, theirs: Sequence[float], target: float) -> Figure:
    """Compare two rates."""
    return Figure(what, f"{median(ours):,.0f}/s", f"{peer} {median(theirs):,.0f}/s", ratio(ours, theirs), target)
