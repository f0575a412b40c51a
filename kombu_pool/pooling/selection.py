"""The weighted choice among pools."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kombu_pool.model import Pool

T = TypeVar("T", bound="Pool")


def weighted(pools: Iterable[T], generator: Callable[[int, int], int] = random.randint) -> T | None:
    """Draw a pool, each with a chance that is its share of the weights; None when none has a weight above 0.

    ``generator(0, total - 1)`` draws: it returns an integer between the two, both included.
    """
    eligible = [pool for pool in pools if pool["weight"] > 0]
    if not eligible:
        return None
    drawn = generator(0, sum(pool["weight"] for pool in eligible) - 1)
    for pool in eligible:
        drawn -= pool["weight"]
        if drawn < 0:
            return pool
    return eligible[-1]
