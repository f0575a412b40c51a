"""The size of each scenario: full under ``make chaos``, small among the ordinary tests."""

from __future__ import annotations

import os
from dataclasses import dataclass

#: Environment variables of ``make chaos``: its switch, the seed, the store.
CHAOS, SEED, STORE = "KOMBU_POOL_CHAOS", "SEED", "STORE"


@dataclass(frozen=True)
class Scale:
    """Counts, and durations in seconds."""

    #: Number of tasks; time of the kills, over which the tasks are spread; interval of the kills; most time of sending.
    tasks: int = 50_000
    killing: float = 60.0
    kills_every: float = 1.0
    sending: float = 120.0
    etas: int = 1000
    #: Durations of the outages.
    lock: float = 5.0
    full: float = 5.0
    down: float = 3.0
    cut: float = 30.0
    deleting: float = 25.0
    forks: int = 25
    #: Messages in the queue that is moved.
    waiting: int = 100_000
    boxes: int = 200
    #: Number of sequences, and the time after which no further one begins.
    examples: int = 1000
    comparing: float = 240.0


#: Each scenario takes seconds.
SMALL = Scale(
    tasks=300,
    killing=10.0,
    kills_every=1.5,
    sending=10.0,
    lock=1.0,
    deleting=3.0,
    forks=5,
    boxes=10,
    examples=5,
    waiting=2000,
)
#: The scenarios and the store of the ordinary tests.
SMOKE = ("killed workers", "fork", "random operations")
SMOKE_STORE = "sqlite"


def is_full() -> bool:
    """Return whether this is a run of ``make chaos``."""
    return CHAOS in os.environ
