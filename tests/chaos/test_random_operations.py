"""Random sequences of operations, on a store and on the memory store, which must answer alike."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from kombu_pool.clock import ManualClock
from tests.conformance.conftest import STORES, Backend
from tests.conformance.handles import QueueHandle
from tests.conformance.test_against_memory import Twins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.chaos.scale import Scale

STEPS = 30


class Pair:
    """Two stores that all sequences share; each has a project of its own in them, and leaves it full."""

    def __init__(self, store: str, folder: Path) -> None:
        self.clock = ManualClock()
        self.backends = [Backend(STORES[name], folder, self.clock) for name in ("memory", store)]
        self.sequences = itertools.count()

    def close(self) -> None:
        for backend in self.backends:
            backend.close()


@pytest.fixture
def pair(store: str, tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(store, tmp_path)
    yield pair
    pair.close()


def machine(pair: Pair, seed: int) -> Any:
    """Make twins out of this pair of stores."""

    class Lodgers(Twins):
        def open_stores(self) -> tuple[ManualClock, list[Backend], str]:
            return pair.clock, pair.backends, f"project-{next(pair.sequences)}"

        def teardown(self) -> None:
            """Leave the stores to the next one."""

    return hypothesis.seed(seed)(Lodgers)


@pytest.mark.timeout(200)
@pytest.mark.scenario("random operations")
def test_the_store_answers_as_the_memory_store_does(
    pair: Pair, seed: int, scale: Scale, tally: Callable[..., None]
) -> None:
    run_state_machine_as_test(
        machine(pair, seed),
        settings=settings(
            max_examples=scale.examples,
            stateful_step_count=STEPS,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

    tally(sequences=next(pair.sequences), most_steps=STEPS)
