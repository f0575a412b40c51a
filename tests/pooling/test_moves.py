"""Moves of queues between pools: each step, and processes and stores that stop meanwhile."""

from __future__ import annotations

import pytest

from kombu_pool import codec, errors
from kombu_pool.model import ACTIVE, MOVING, Expiry
from kombu_pool.moves import COPYING, DRAINING, MOVED, PLANNED, MovedMessage
from kombu_pool.pooling import queue_lives
from kombu_pool.storage import IDEMPOTENCY_WINDOW
from kombu_pool.testing import bodies
from kombu_pool.testing.handles import QueueHandle
from tests.support.pooling.moves import free_in, plan, step, step_to

pytestmark = pytest.mark.usefixtures("no_wait")


def test_a_queue_moves_with_its_messages(queue, other, stores):
    queue.post("one", "two")

    found = step_to(queue, MOVED)

    assert (found.pool, found.state) == ("b", ACTIVE)
    assert found.move.copied == 2
    assert queue.free() == ["one", "two"]
    assert (free_in(stores, "a"), free_in(stores, "b")) == ([], ["one", "two"])
    other.post("three")
    assert bodies(other.claim()) == ["one", "two", "three"]
    assert queue.driver.catalog.pool_of("of-a") == "b"


def test_each_phase_follows_the_one_before(queue):
    queue.post("one")

    found = plan(queue)
    seen = [(found.state, found.move.phase, found.pool)]
    while found.move.phase != MOVED:
        found = step(queue)
        seen.append((found.state, found.move.phase, found.pool))

    assert seen == [
        (ACTIVE, PLANNED, "a"), (MOVING, PLANNED, "a"), (ACTIVE, COPYING, "b"), (ACTIVE, DRAINING, "b"),
        (ACTIVE, MOVED, "b"),
    ]  # fmt: skip


@pytest.mark.parametrize("steps", range(5))
@pytest.mark.parametrize("copies", [True, False])
def test_after_each_step_producers_and_consumers_that_know_of_none_go_on(queue, other, steps, copies):
    queue.post("before")
    plan(queue, copies=copies)
    for _ in range(steps):
        step(queue)

    other.post("after")

    while queue.driver.catalog.moves.find("of-a").move.phase == PLANNED:
        step(queue)
    while queue.driver.catalog.moves.find("of-a").move.phase == COPYING:
        step(queue)
    claimed = [other.claim(limit=1), other.claim(limit=1)]
    assert [body for claim in claimed for body in bodies(claim)] == ["before", "after"]
    for claim in claimed:
        assert other.delete_claimed([(claim.messages[0]["id"], claim.id)]) == []
    while queue.driver.catalog.moves.find("of-a").move.phase != MOVED:
        step(queue)
    assert queue.all() == []


def test_consumers_get_nothing_while_messages_are_copied_so_that_the_order_stays(queue, other):
    queue.post("old")
    step_to(queue, COPYING)
    other.post("new")

    assert other.claim().id is None

    step(queue)
    assert bodies(other.claim()) == ["old", "new"]


def test_a_drained_queue_gives_its_own_messages_first_and_its_delayed_ones_are_copied(queue, other, stores, clock):
    queue.post("old")
    queue.post("later", delay=100)
    step_to(queue, DRAINING, copies=False)
    other.post("new")

    step(queue)

    assert QueueHandle(stores.leaf("b"), "of-a", None).delayed() == ["later"]
    assert free_in(stores, "a") == ["old"]
    first, second = other.claim(), other.claim()
    assert (bodies(first), bodies(second)) == (["old"], ["new"])
    for claim in (first, second):
        other.delete_claimed([(claim.messages[0]["id"], claim.id)])
    assert step(queue).move.phase == MOVED
    clock.advance(101)
    assert bodies(other.claim()) == ["later"]


@pytest.mark.parametrize("steps", range(6))
def test_a_deleted_queue_is_gone_from_both_pools_after_each_step(queue, other, stores, steps):
    queue.post("a")
    plan(queue)
    for _ in range(steps):
        step(queue)

    other.drop()

    for pool in ("a", "b"):
        assert not stores.leaf(pool).queue_controller.exists("of-a")
    assert queue.driver.control.catalogue_controller.find(None, "of-a") is None
    assert queue.create()
    assert queue.free() == []


@pytest.mark.parametrize("steps", range(6))
def test_a_declaration_finds_a_moving_queue(queue, other, steps):
    plan(queue)
    for _ in range(steps):
        step(queue)

    assert not other.create()


def test_a_process_that_takes_over_finishes_and_the_last_one_stores_no_more(queue, populated, clock):
    queue.post(*range(250))
    step_to(queue, COPYING)
    moves = populated.catalog.moves
    stalled = moves.find("of-a")
    source, target = populated.catalog.get_driver("a"), populated.catalog.get_driver("b")
    move = stalled.move
    batch = source.move_controller.take("of-a", incarnation=move.sealed)
    target.move_controller.store("of-a", batch, incarnation=move.opened, epoch=move.epoch)

    taken = moves.take_over("of-a", None, stalled, "another")
    assert moves.take_over("of-a", None, stalled, "a third") is None
    while moves.find("of-a").move.phase != MOVED:
        step(queue)
    with pytest.raises(errors.MoveSuperseded):
        target.move_controller.store("of-a", batch, incarnation=move.opened, epoch=move.epoch)

    assert (taken.move.holder, taken.move.epoch) == ("another", 2)
    assert queue.free() == [*range(250)]


def test_a_target_that_is_down_before_it_is_opened_ends_the_move(queue, other, stores):
    queue.post("a")
    plan(queue)
    step(queue)
    stores.switch_off("b")

    with pytest.raises(errors.PoolUnavailable):
        step(queue)

    found = queue.driver.catalog.moves.find("of-a")
    assert (found.pool, found.state, found.move.phase) == ("a", ACTIVE, MOVED)
    other.post("b")
    held = other.claim()
    assert bodies(held) == ["a", "b"]
    other.end(held.id)
    stores.switch_on("b")
    step_to(queue, MOVED)


def test_a_source_that_is_down_before_it_is_sealed_keeps_producers_out(queue, other, stores, monkeypatch):
    monkeypatch.setattr(queue_lives, "MOVE_TIMEOUT", 0.0)
    queue.post("a")
    plan(queue)
    step(queue)
    stores.switch_off("a")

    with pytest.raises(errors.PoolUnavailable) as raised:
        other.post("b")

    assert raised.value.pool == "a"
    stores.switch_on("a")
    other.post("b")
    assert queue.driver.catalog.moves.find("of-a").pool == "b" or other.free() == ["a", "b"]


def test_a_source_that_is_down_afterwards_does_not_keep_new_messages_from_consumers(queue, other, stores):
    queue.post("a")
    step_to(queue, DRAINING, copies=False)
    other.post("b")
    stores.switch_off("a")

    assert bodies(other.claim()) == ["b"]

    stores.switch_on("a")


def test_a_move_can_be_aborted_until_the_target_is_open(queue, other, stores):
    queue.post("a")
    moves = queue.driver.catalog.moves
    for steps in range(2):
        plan(queue)
        for _ in range(steps):
            step(queue)
        assert moves.abort("of-a", None, moves.find("of-a"))
        assert moves.find("of-a") is None
        assert other.free() == ["a"]
        assert not stores.leaf("b").queue_controller.exists("of-a")

    step_to(queue, DRAINING)
    assert not moves.abort("of-a", None, moves.find("of-a"))


def test_a_sealed_queue_is_deleted_when_no_producer_can_ask_for_a_post(queue, stores, clock):
    step_to(queue, MOVED)
    assert step(queue) == queue.driver.catalog.moves.find("of-a")
    assert stores.leaf("a").queue_controller.exists("of-a")

    clock.advance(IDEMPOTENCY_WINDOW)
    step(queue)

    assert not stores.leaf("a").queue_controller.exists("of-a")
    assert queue.driver.catalog.moves.find("of-a") is None


def test_a_queue_moves_back_and_forth(queue, populated):
    queue.post("a")
    for target in ("b", "a", "b"):
        found = plan(queue, target=target)
        while found.move.phase != MOVED:
            found = step(queue)
        queue.post(f"in {target}")

    assert queue.free() == ["a", "in b", "in a", "in b"]
    assert {one.pool for one in found.move.tombstones} == {"a", "b"}


def test_what_cannot_be_moved_is_named(queue, populated):
    with pytest.raises(errors.QueueDoesNotExist):
        populated.catalog.moves.plan("absent", None, "b", copies=True, holder="h")
    with pytest.raises(errors.PoolDoesNotExist):
        plan(queue, target="absent")
    with pytest.raises(errors.NotPermitted, match="in pool 'a' already"):
        plan(queue, target="a")
    plan(queue)
    with pytest.raises(errors.NotPermitted, match="moving to pool 'b' already"):
        plan(queue, target="f")
    populated.queue_controller.create("exclusive", None, expiry=Expiry(5.0, from_now=True, holder="h", holder_ttl=9.0))
    with pytest.raises(errors.NotPermitted, match="exclusive"):
        populated.catalog.moves.plan("exclusive", None, "b", copies=True, holder="h")


def test_a_message_that_comes_into_a_sealed_queue_in_spite_of_all_moves_too(queue, stores, clock):
    found = step_to(queue, MOVED)
    moves = stores.leaf("a").move_controller
    moves.set_epoch("of-a", incarnation=found.move.sealed, epoch=1)
    late = MovedMessage("1", codec.encode("late", 100), clock.time(), 0)
    moves.store("of-a", [late], incarnation=found.move.sealed, epoch=1)

    assert step(queue).move.phase == MOVED
    clock.advance(IDEMPOTENCY_WINDOW)
    assert step(queue).move.phase == DRAINING
    assert step(queue).move.phase == MOVED
    assert queue.free() == ["late"]
    clock.advance(IDEMPOTENCY_WINDOW)
    step(queue)
    assert not stores.leaf("a").queue_controller.exists("of-a")


def test_only_the_process_that_holds_a_move_copies_messages(queue, other):
    queue.post("a")
    found = step_to(queue, COPYING)
    moves = other.driver.catalog.moves

    with pytest.raises(errors.NotPermitted, match="take the move over"):
        moves.step("of-a", None, found)

    taken = moves.take_over("of-a", None, found, "another")
    assert moves.step("of-a", None, taken).move.phase == DRAINING
    assert queue.driver.catalog.moves.step("of-a", None, found) is None
