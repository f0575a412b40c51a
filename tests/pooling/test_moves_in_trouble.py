"""What stays of a queue whose move meets an outage, a deletion, or a process that is late."""

from __future__ import annotations

import pytest

from kombu_pool import errors
from kombu_pool.model import DELETING, MOVING
from kombu_pool.moves import COPYING, DRAINING, MOVED, PLANNED
from kombu_pool.pooling import DataDriver, queue_lives
from kombu_pool.pooling.moving.run import MoveRun
from kombu_pool.testing import bodies
from kombu_pool.testing.handles import QueueHandle


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch):
    """Let no process wait for another one that moves a queue."""
    monkeypatch.setattr(queue_lives, "_FIRST_WAIT", 0.0)
    monkeypatch.setattr(queue_lives, "MOVE_TIMEOUT", 0.0)


@pytest.fixture
def queue(populated):
    """A queue in pool a."""
    return QueueHandle(populated, "of-a", None)


@pytest.fixture
def moves(queue):
    return queue.driver.catalog.moves


@pytest.fixture
def other(populated, clock):
    """The same queue as another process knows it: in its cache since before the move."""
    driver = DataDriver(None, None, populated.control, clock=clock)
    driver.catalog.route("of-a")
    yield QueueHandle(driver, "of-a", None)
    driver.close()


@pytest.fixture
def run(queue, moves):
    """Begin a move, and return it after some steps: ``run(steps, copies=True)``."""

    def begin(steps=0, *, copies=True):
        found = moves.plan("of-a", None, "b", copies=copies, holder="mover")
        made = MoveRun(moves, "of-a", None, found)
        for _ in range(steps):
            assert made.step()
        return made

    return begin


def finish(run):
    while run.step():
        pass
    assert run.found.move.phase == MOVED


@pytest.mark.parametrize("down", ["a", "b"])
def test_a_pool_that_is_down_while_messages_are_copied_is_asked_again(queue, run, stores, down):
    queue.post(*range(150))
    made = run(2)
    stores.switch_off(down)

    assert made.step()

    assert made.outage.pool == down
    assert made.pause > 0
    assert made.found.move.beats == 1
    stores.switch_on(down)
    finish(made)
    assert made.outage is None
    assert queue.free() == [*range(150)]


def test_while_the_new_pool_is_down_a_publish_fails_as_on_any_pool(queue, run, other, stores):
    run(2)
    stores.switch_off("b")

    with pytest.raises(errors.PoolUnavailable) as raised:
        other.post("a")

    assert raised.value.pool == "b"
    stores.switch_on("b")
    other.post("a")
    assert queue.free() == ["a"]


def test_while_the_old_pool_is_down_publishes_go_on_and_a_copy_keeps_workers_waiting(queue, run, other, stores):
    queue.post("old")
    made = run(2)
    other.post("new")
    stores.switch_off("a")

    other.post("newer")

    assert other.claim().id is None
    stores.switch_on("a")
    finish(made)
    assert bodies(other.claim()) == ["old", "new", "newer"]


@pytest.mark.parametrize("steps", range(2))
def test_a_target_that_is_down_before_it_is_open_ends_the_move(queue, run, moves, other, stores, steps):
    queue.post("kept")
    made = run(steps)
    stores.switch_off("b")

    with pytest.raises(errors.PoolUnavailable):
        made.step()

    found = moves.find("of-a")
    assert found is None or (found.pool, found.move.phase) == ("a", MOVED)
    assert bodies(other.claim()) == ["kept"]


@pytest.mark.parametrize("steps", range(4))
def test_a_control_store_that_is_down_leaves_a_move_as_it_is(queue, run, moves, monkeypatch, steps):
    queue.post(*range(150))
    made = run(steps)
    before = moves.find("of-a")

    def fail(*_):
        raise errors.ConnectionError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(queue.driver.control.catalogue_controller, "replace", fail)
        with pytest.raises(errors.ConnectionError):
            made.step()

    assert moves.find("of-a") == before
    finish(made)
    assert queue.free() == [*range(150)]


@pytest.mark.parametrize("steps", range(4))
def test_a_purge_meets_both_pools_after_each_step(queue, run, other, steps):
    queue.post("a", "b")
    made = run(steps)
    if steps > 1:
        other.post("c")

    other.purge()

    assert other.free() == []
    finish(made)
    assert queue.free() == []


@pytest.mark.parametrize("steps", range(4))
def test_a_step_brings_no_queue_back_that_is_being_deleted(queue, run, moves, stores, steps):
    queue.post("a")
    made = run(steps)
    stores.switch_off("a")
    queue.drop()
    assert moves.find("of-a").state == DELETING
    stores.switch_on("a")

    assert not made.step()

    assert made.found is None or made.found.state == DELETING
    assert moves.find("of-a").state == DELETING
    queue.driver.queue_controller.end_deletions()
    assert queue.driver.control.catalogue_controller.find(None, "of-a") is None


def test_a_late_abort_leaves_the_target_alone_that_another_process_has_opened(queue, run, moves, other):
    queue.post("old")
    made = run(1)
    late = made.found
    assert late.state == MOVING
    assert made.step()
    other.post("new")

    assert not moves.abort("of-a", None, late)

    assert other.free() == ["old", "new"]
    finish(made)
    assert not moves.abort("of-a", None, late)
    assert queue.free() == ["old", "new"]


@pytest.mark.parametrize("steps", range(4))
def test_a_queue_is_looked_up_after_each_step(queue, run, other, steps):
    run(steps)

    assert other.driver.catalog.look_up("of-a") is not None


def test_a_move_that_ended_is_not_continued(queue, run, moves):
    made = run(1)
    assert moves.abort("of-a", None, moves.find("of-a"))

    assert not made.step()

    assert made.found is None


def test_a_released_move_waits_for_the_next_process(queue, run, moves, other):
    queue.post(*range(3))
    made = run(2)

    made.release()

    move = moves.find("of-a").move
    assert (move.holder, move.epoch, move.phase) == ("", 2, COPYING)
    assert not made.step()
    later = other.driver.catalog.moves
    finish(MoveRun(later, "of-a", None, later.take_over("of-a", None, later.find("of-a"), "next")))
    assert queue.free() == [*range(3)]


def test_a_drain_can_become_a_copy(queue, run, moves):
    queue.post(*range(3))
    made = run(2, copies=False)
    assert made.found.move.phase == DRAINING

    taken = moves.take_over("of-a", None, made.found, "next", copies=True)

    finish(MoveRun(moves, "of-a", None, taken))
    assert moves.find("of-a").move.copied == 3


def test_a_move_pauses_longer_and_longer_while_messages_are_held(queue, run):
    queue.post("a")
    held = queue.claim()
    made = run(3)
    assert made.found.move.phase == DRAINING

    pauses = []
    for _ in range(8):
        assert made.step()
        pauses.append(made.pause)

    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.05, 1.0)
    queue.end(held.id)
    finish(made)


def test_each_event_of_a_move_is_one_line(queue, run, moves, caplog):
    caplog.set_level("INFO", "kombu_pool.pooling")
    made = run(2)
    made = MoveRun(moves, "of-a", None, moves.take_over("of-a", None, made.found, "next"))
    finish(made)
    assert moves.plan("of-a", None, "a", copies=True, holder="mover").move.phase == PLANNED
    moves.abort("of-a", None, moves.find("of-a"))

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "Queue 'of-a' is about to move from pool a to pool b"),
        ("INFO", "The move of queue 'of-a' to pool b is continued; its last process: mover"),
        ("INFO", "Queue 'of-a' has moved from pool a to pool b"),
        ("INFO", "Queue 'of-a' is about to move from pool b to pool a"),
        ("WARNING", "The move of queue 'of-a' has ended: it stays in pool b"),
    ]
