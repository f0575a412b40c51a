"""How much each scenario does: all of it under ``make chaos``, and next to nothing among the ordinary tests."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

#: Set by ``make chaos``, and what may be asked of it.
CHAOS, SEED, STORE = "KOMBU_POOL_CHAOS", "SEED", "STORE"


@dataclass(frozen=True)
class Scale:
    """Counts and seconds."""

    #: Tasks, sent for so many seconds at most, and seconds from one kill to the next.
    tasks: int = 50_000
    sending: dict[str, float] = field(default_factory=lambda: {"sqlite": 35.0, "redis": 60.0, "mongodb": 30.0})
    kills_every: float = 1.0
    etas: int = 1000
    #: Seconds of an outage, by its kind.
    lock: float = 5.0
    full: float = 5.0
    down: float = 3.0
    cut: dict[str, float] = field(default_factory=lambda: {"redis": 30.0, "mongodb": 10.0})
    forks: int = 25
    boxes: int = 200
    #: Sequences, and seconds after which no more are begun.
    examples: int = 1000
    comparing: dict[str, float] = field(default_factory=lambda: {"sqlite": 30.0, "redis": 30.0, "mongodb": 40.0})


#: A scenario of it takes seconds.
SMALL = Scale(tasks=300, sending={"sqlite": 10.0}, kills_every=1.5, lock=1.0, forks=5, boxes=10, examples=5)
#: The scenarios that the ordinary tests have a look at, and the store.
SMOKE = ("killed workers", "fork", "random operations")
SMOKE_STORE = "sqlite"


def is_full() -> bool:
    """Tell whether this is ``make chaos``."""
    return CHAOS in os.environ
