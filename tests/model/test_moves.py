"""Every interleaving of what processes do to a queue that moves: nothing is lost, doubled, or left behind."""

from __future__ import annotations

import os
import random
import time

import pytest

from kombu_pool.drivers.memory import messages, moving
from kombu_pool.drivers.memory.store import DataStore
from kombu_pool.pooling.moving import moves
from tests.support.chaos.scale import SEED, is_full
from tests.support.model.move_scenarios import (
    MOVERS,
    STARTS,
    cases,
    copying,
    declared,
    explore,
    play,
    prepared,
    stopped,
)
from tests.support.model.moves import MoveWorld, stepwise_moves
from tests.support.model.replays import replay

pytestmark = pytest.mark.usefixtures("untraced")

REPLAYS = 60
#: Time of each deeper exploration in ``make chaos``, in seconds.
DEEPER = 100.0


@pytest.fixture(autouse=True)
def _stepwise(monkeypatch):
    stepwise_moves(monkeypatch)


def check(cases, seconds=float("inf")):
    """Explore each case; return how many schedules were tried, and fail at the first with a fault."""
    total, until = 0, time.monotonic() + seconds
    for arguments in cases:
        tried, found = explore(*arguments)
        assert not found, found[0]
        total += tried
        if time.monotonic() >= until:
            break
    return total


def test_no_interleaving_of_two_processes_breaks_a_move():
    assert check(cases(2, 1)) >= 5_000


def test_no_order_of_three_processes_breaks_a_move():
    assert check(cases(3, 0)) >= 4_500


def test_a_process_that_stops_anywhere_breaks_no_move():
    assert check(stopped(0)) >= 8_000


def test_a_post_that_arrives_late_is_stored_once():
    late = [
        (start, ("post late", "arrive", mover), 1) for start in STARTS for mover in STARTS[start] if mover in MOVERS
    ]
    assert check(late) >= 1_000


@pytest.mark.skipif(not is_full(), reason="a part of make chaos")
@pytest.mark.parametrize(("size", "preemptions"), [(2, 2), (3, 1)])
def test_no_deeper_interleaving_breaks_a_move(size, preemptions):
    chance = random.Random(os.environ.get(SEED) or time.time())  # noqa: S311 - no secret
    every = [*cases(size, preemptions), *stopped(1)]
    chance.shuffle(every)

    assert check(every, DEEPER)


def _removing_first(monkeypatch):
    """Let a mover remove messages from the source before the target has them."""
    take = moving.MoveController.take

    def take_away(self, queue, project=None, limit=1, **kwargs):
        taken = take(self, queue, project, limit, **kwargs)
        self.remove(queue, [message.id for message in taken], project, incarnation=kwargs["incarnation"])
        return taken

    monkeypatch.setattr(moving.MoveController, "take", take_away)


def _storing_late(monkeypatch):
    """Let a mover store a batch after another one has taken the move over."""
    store = moving.MoveController.store

    def store_in_any_epoch(self, queue, batch, project=None, *, incarnation, epoch):
        present = self._require(queue, project, incarnation).epoch
        store(self, queue, batch, project, incarnation=incarnation, epoch=present)

    monkeypatch.setattr(moving.MoveController, "store", store_in_any_epoch)


def _posting_to_sealed_queues(monkeypatch):
    """Let a sealed queue take the posts of processes that know it by an earlier incarnation."""
    require = DataStore.require
    monkeypatch.setattr(messages, "is_sealed", lambda _: False)
    monkeypatch.setattr(
        DataStore, "require", lambda self, project, queue, now, incarnation=None: require(self, project, queue, now)
    )


def _opening_before_sealing(monkeypatch):
    """Open the target while the source is open."""
    monkeypatch.setattr(moves.QueueMoves, "_seal", lambda *_: True)


@pytest.mark.parametrize(
    ("plant", "case"),
    [
        (_removing_first, (declared, ("copy", "post"), 0, {})),
        (_storing_late, (copying, ("continue", "continue"), 1)),
        (_posting_to_sealed_queues, (declared, ("settle", "copy", "cached post"), 0)),
        (_opening_before_sealing, (prepared, ("continue", "post"), 0)),
    ],
)
def test_the_checker_finds_the_faults_of_wrong_steps(monkeypatch, plant, case):
    start, names, preemptions, *stops = case
    assert not explore(*case)[1]
    plant(monkeypatch)

    stopped_after = [{0: steps} for steps in range(1, 40)] if stops else [{}]
    found = [each for stop in stopped_after for each in explore(start, names, preemptions, stop)[1]]

    assert found


@pytest.mark.parametrize("store", ["sqlite", "redis", "mongodb"])
def test_random_schedules_break_no_move_on_a_store_with_other_code(store, tmp_path):
    every = [*cases(2, 0), *cases(3, 0)]

    replay(store, tmp_path, every, MoveWorld, play, replays=REPLAYS, steps=120, stops=40, seed=21)
