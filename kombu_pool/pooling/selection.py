"""Weighted choice of a pool."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kombu_pool.model import Pool

T = TypeVar("T", bound="Pool")


def choose_weighted(pools: Iterable[T], generator: Callable[[int, int], int] = random.randint) -> T | None:
    """Choose a pool at random in proportion to the weights; return None when no weight is above 0.

    ``generator(0, total - 1)`` returns an integer between the two, both included.
    """
    eligible = [pool for pool in pools if pool["weight"] > 0]
    if not eligible:
        return None
    number = generator(0, sum(pool["weight"] for pool in eligible) - 1)
    for pool in eligible:
        number -= pool["weight"]
        if number < 0:
            return pool
    return eligible[-1]
