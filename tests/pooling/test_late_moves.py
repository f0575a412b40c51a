"""Processes that stall or die in a move, and go on after others: what the model of moves found, one by one."""

from __future__ import annotations

import pytest

from kombu_pool.model import ACTIVE, MOVING
from kombu_pool.moves import COPYING, DRAINING, MOVED
from kombu_pool.pooling.moving.assignments import in_target
from kombu_pool.storage import IDEMPOTENCY_WINDOW
from tests.support.pooling.moves import free_in, plan, step, step_to

pytestmark = pytest.mark.usefixtures("no_wait")


@pytest.fixture
def moves(populated):
    return populated.catalog.moves


def pools_with(stores):
    return [pool for pool in ("a", "b") if stores.leaf(pool).queue_controller.exists("of-a")]


def test_a_move_whose_process_died_after_it_closed_the_target_ends(queue, populated):
    queue.post("one")
    found = step_to(queue, DRAINING)
    target = populated.catalog.get_driver("b").move_controller
    target.set_epoch("of-a", incarnation=found.move.opened, epoch=found.move.epoch + 1)

    assert step(queue).move.phase == MOVED
    assert queue.free() == ["one"]


def test_an_end_of_a_move_that_comes_after_the_target_is_open_changes_nothing(queue, moves):
    queue.post("one")
    plan(queue)
    late = step(queue)
    step(queue)

    assert not moves.abort("of-a", None, late)

    while moves.find("of-a").move.phase != MOVED:
        step(queue)
    assert queue.free() == ["one"]


def test_a_deletion_that_read_the_queue_before_its_move_began_deletes_it_from_both_pools(
    queue, populated, stores, monkeypatch
):
    catalogue = populated.control.catalogue_controller
    begin = type(catalogue).begin_deletion

    def begin_later(self, project, name, incarnation):
        monkeypatch.undo()
        plan(queue)
        assert step(queue).state == MOVING
        return begin(self, project, name, incarnation)

    monkeypatch.setattr(type(catalogue), "begin_deletion", begin_later)

    queue.drop()

    assert pools_with(stores) == []
    assert catalogue.find(None, "of-a") is None


@pytest.mark.parametrize("steps", range(4))
def test_a_step_that_comes_after_the_deletion_of_the_queue_leaves_nothing(queue, other, moves, stores, steps):
    queue.post("one")
    late = plan(queue)
    for _ in range(steps):
        late = step(queue)
    other.drop()

    assert moves.step("of-a", None, late) is None

    assert pools_with(stores) == []


def test_a_step_that_comes_after_the_move_is_forgotten_leaves_the_queue(queue, moves, stores, clock):
    queue.post("one")
    lates = [plan(queue), step(queue)]
    while moves.find("of-a").move.phase != MOVED:
        step(queue)
    clock.advance(IDEMPOTENCY_WINDOW + 1)
    step(queue)
    assert moves.find("of-a") is None

    for late in lates:
        assert moves.step("of-a", None, late) is None

    assert pools_with(stores) == ["b"]
    assert queue.free() == ["one"]


def test_a_target_that_lost_the_queue_before_it_was_opened_ends_the_move(queue, other, moves, stores):
    queue.post("one")
    plan(queue)
    step(queue)
    stores.leaf("b").queue_controller.delete("of-a")

    assert step(queue) is None

    assert moves.find("of-a") is None
    other.post("two")
    assert free_in(stores, "a") == ["one", "two"]


@pytest.mark.parametrize("copies", [True, False])
def test_a_target_that_lost_the_queue_afterwards_costs_no_message_of_the_source(queue, other, moves, stores, copies):
    queue.post("one")
    step_to(queue, COPYING if copies else DRAINING, copies=copies)
    stores.leaf("b").queue_controller.delete("of-a")

    other.post("two")

    assert queue.driver.control.catalogue_controller.find(None, "of-a").state == ACTIVE
    while moves.find("of-a").move.phase == COPYING:
        step(queue)
    assert queue.all() == ["one", "two"]


def test_a_process_that_dies_while_it_ends_a_move_leaves_a_queue_that_works(
    queue, other, moves, stores, clock, monkeypatch
):
    queue.post("one")
    plan(queue)
    step(queue)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(moves, "_create", die)
        with pytest.raises(KeyboardInterrupt):
            moves.abort("of-a", None, moves.find("of-a"))
    other.post("two")

    assert free_in(stores, "a") == ["one", "two"]
    clock.advance(IDEMPOTENCY_WINDOW + 1)
    step(queue)
    assert moves.find("of-a") is None
    assert pools_with(stores) == ["a"]


def test_two_processes_that_open_a_queue_again_after_a_move_keep_its_messages(queue, populated, moves, monkeypatch):
    queue.post("one")
    plan(queue)
    step(queue)
    catalogue = populated.control.catalogue_controller
    activate = type(catalogue).activate

    def activate_late(self, *args, **kwargs):
        monkeypatch.undo()
        found = catalogue.find(None, "of-a")
        again = populated.catalog.lives._assign_again("of-a", None, found)
        assert again[1]
        answer = activate(self, *args, **kwargs)
        assert not answer
        return answer

    monkeypatch.setattr(type(catalogue), "activate", activate_late)
    moves.abort("of-a", None, moves.find("of-a"))

    assert queue.free() == ["one"]
    queue.post("two")
    assert queue.free() == ["one", "two"]


def test_a_step_waits_for_a_pool_that_is_to_open_the_queue_again(queue, populated, moves):
    queue.post("one")
    found = step_to(queue, DRAINING)
    again, is_ours = populated.catalog.lives._assign_again("of-a", None, found)
    assert is_ours

    assert moves.step("of-a", None, again).state == ACTIVE
    while moves.find("of-a").move.phase != MOVED:
        step(queue)
    assert queue.free() == ["one"]


def test_a_dead_letter_that_reached_the_target_before_the_move_ended_comes_back(queue, other, moves, stores, clock):
    queue.post("one")
    plan(queue)
    step(queue)
    prepared, opened = in_target(moves.find("of-a").move)
    stores.leaf("b").queue_controller.create("of-a", {}, incarnation=opened, replaces=prepared)
    stores.leaf("b").message_controller.post("of-a", [{"ttl": 0, "body": "dead letter"}], None)

    assert moves.abort("of-a", None, moves.find("of-a"))
    clock.advance(IDEMPOTENCY_WINDOW + 1)
    while moves.find("of-a") is not None:
        step(queue)
        clock.advance(IDEMPOTENCY_WINDOW + 1)

    assert sorted(other.free()) == ["dead letter", "one"]
    assert pools_with(stores) == ["a"]
