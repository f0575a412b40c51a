"""Every interleaving of what processes do to one queue: nothing is lost, and nothing is left behind."""

from __future__ import annotations

import itertools

import pytest

from kombu_pool.drivers.memory.control.bindings import BindingsController
from tests.support.model.old_steps import OldOperations
from tests.support.model.replays import replay
from tests.support.model.scenarios import STARTS, absent, being_deleted, cases, declared, explore, play
from tests.support.model.world import World, stepwise_pools

pytestmark = pytest.mark.usefixtures("untraced")

#: Most switches away from a process that could have gone on.
PREEMPTIONS_OF_TWO, PREEMPTIONS_OF_THREE = 3, 1
#: Steps after which a process that stops does so.
STOPS = range(1, 9)
REPLAYS = 100


@pytest.fixture(autouse=True)
def _stepwise(monkeypatch):
    stepwise_pools(monkeypatch)


def check(cases):
    """Explore each case; return how many schedules were tried, and fail at the first with a fault."""
    total = 0
    for arguments in cases:
        tried, found = explore(*arguments)
        assert not found, found[0]
        total += tried
    return total


def test_no_interleaving_of_two_processes_breaks_a_queues_life():
    assert check(cases(2, PREEMPTIONS_OF_TWO)) >= 17_000


def test_no_interleaving_of_three_processes_breaks_a_queues_life():
    assert check(cases(3, PREEMPTIONS_OF_THREE)) >= 18_000


def test_a_process_that_stops_anywhere_breaks_nothing():
    stopped = (
        (start, pair, 1, {0: steps})
        for start, names in STARTS.items()
        for pair in itertools.product(names, repeat=2)
        for steps in STOPS
    )
    assert check(stopped) >= 10_000


@pytest.mark.parametrize(
    ("start", "names"),
    [(absent, ("declare", "delete")), (declared, ("declare", "delete")), (declared, ("cached", "delete", "declare"))],
)
def test_the_checker_finds_the_faults_of_the_old_steps(start, names):
    tried, found = explore(start, names, 2, operations=OldOperations)

    assert len(found) > tried / 3


def test_the_checker_finds_a_deletion_that_unbinds_a_later_life(monkeypatch):
    unbind = BindingsController.unbind_queue
    monkeypatch.setattr(
        BindingsController, "unbind_queue", lambda self, queue, project, **_: unbind(self, queue, project)
    )

    _, found = explore(being_deleted, ("declare and bind", "end_deletions"), 2)

    assert found


@pytest.mark.parametrize("store", ["sqlite", "redis", "mongodb"])
def test_random_schedules_break_nothing_on_a_store_with_other_code(store, tmp_path):
    every = [*cases(2, 0), *cases(3, 0)]

    replay(store, tmp_path, every, World, play, replays=REPLAYS, steps=40, stops=8, seed=20)
