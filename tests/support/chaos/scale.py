"""How much each scenario does: all of it under ``make chaos``, and next to nothing among the ordinary tests."""

from __future__ import annotations

import os
from dataclasses import dataclass

#: Set by ``make chaos``, and what may be asked of it.
CHAOS, SEED, STORE = "KOMBU_POOL_CHAOS", "SEED", "STORE"


@dataclass(frozen=True)
class Scale:
    """Counts and seconds."""

    #: Tasks; seconds of killing, over which they are spread; from one kill to the next; and of sending, at the most.
    tasks: int = 50_000
    killing: float = 60.0
    kills_every: float = 1.0
    sending: float = 120.0
    etas: int = 1000
    #: Seconds of an outage, by its kind.
    lock: float = 5.0
    full: float = 5.0
    down: float = 3.0
    cut: float = 30.0
    forks: int = 25
    boxes: int = 200
    #: Sequences, and seconds after which no more are begun.
    examples: int = 1000
    comparing: float = 240.0


#: A scenario of it takes seconds.
SMALL = Scale(tasks=300, killing=10.0, kills_every=1.5, sending=10.0, lock=1.0, forks=5, boxes=10, examples=5)
#: The scenarios that the ordinary tests have a look at, and the store.
SMOKE = ("killed workers", "fork", "random operations")
SMOKE_STORE = "sqlite"


def is_full() -> bool:
    """Tell whether this is ``make chaos``."""
    return CHAOS in os.environ
