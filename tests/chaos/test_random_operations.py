"""Random sequences of operations on a store and on the memory store, whose answers must be equal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from kombu_pool.testing import ManualClock
from kombu_pool.testing.backend import Backend
from kombu_pool.testing.conformance.test_against_memory import StoreComparison
from tests.support.conformance.stores import STORES
from tests.support.limits import LONG_TEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.chaos.scale import Scale

STEPS, BATCH = 30, 100


class Pair:
    """Two stores for all sequences, each of which uses a project of its own."""

    def __init__(self, store: str, folder: Path) -> None:
        self.clock = ManualClock()
        self.backends = [Backend(STORES[name], folder, self.clock) for name in ("memory", store)]
        self.sequences = 0

    def new_project(self) -> tuple[ManualClock, list[Backend], str]:
        """Return the clock, the stores and the project of the next sequence."""
        self.sequences += 1
        return self.clock, self.backends, f"project-{self.sequences}"

    def close(self) -> None:
        for backend in self.backends:
            backend.close()


class SharedStoreComparison(StoreComparison):
    """A comparison in a new project that keeps the stores open for the next one."""

    pair: Pair

    def open_stores(self) -> tuple[ManualClock, list[Backend], str]:
        return self.pair.new_project()

    def teardown(self) -> None:
        for queue in (*self.queues, *self.dead):
            queue.driver.queue_controller.delete(queue.name, queue.project)


@pytest.fixture
def pair(store: str, tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(store, tmp_path)
    yield pair
    pair.close()


@pytest.mark.timeout(LONG_TEST)
@pytest.mark.scenario("random operations")
def test_the_store_answers_as_the_memory_store_does(
    pair: Pair, seed: int, scale: Scale, tally: Callable[..., None]
) -> None:
    until = time.monotonic() + scale.comparing
    while pair.sequences < scale.examples and time.monotonic() < until:
        machine = type("StoreComparison", (SharedStoreComparison,), {"pair": pair})
        machine = hypothesis.seed(seed + pair.sequences)(machine)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=min(BATCH, scale.examples),
                stateful_step_count=STEPS,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

    tally(sequences=pair.sequences, most_steps=STEPS)
