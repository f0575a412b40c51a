"""Consuming processes continue the moves of queues whose process died or stopped."""

from __future__ import annotations

import itertools
import signal
import time

import pytest

from kombu_pool.moves import MOVED
from kombu_pool.pooling import DataDriver
from kombu_pool.pooling.moving.run import MoveRun
from kombu_pool.storage import IDEMPOTENCY_WINDOW
from kombu_pool.testing import ManualClock
from kombu_pool.testing.handles import QueueHandle
from kombu_pool.transport import processes
from kombu_pool.transport.upkeep import moves as upkeep
from kombu_pool.transport.upkeep.moves import MoveUpkeep
from tests.support.limits import LIMIT, best_of
from tests.support.transport.child_programs import Program
from tests.support.transport.traffic import consume, publish

MODULE = "tests.support.transport.child_moves"
#: Seconds after which a process of this machine goes on with the move of a dead one.
AT_ONCE = 3.0


def until(condition, limit=LIMIT):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def pools(tmp_path):
    """The URI of a control store with the pools ``old`` and ``new``, and a queue with messages in the first."""
    uri = f"sqlite:///{tmp_path}/control.db"
    driver = DataDriver(None, None, uri)
    driver.control.pools_controller.create("old", 100, f"sqlite:///{tmp_path}/old.db")
    driver.queue_controller.create("q")
    QueueHandle(driver, "q", None).post(*map(str, range(250)))
    driver.control.pools_controller.create("new", 0, f"sqlite:///{tmp_path}/new.db")
    yield uri
    driver.close()


@pytest.fixture
def driver(pools):
    opened = DataDriver(None, None, pools)
    yield opened
    opened.close()


@pytest.fixture
def started(pools):
    """Start a process that moves the queue and waits after some steps."""
    programs = []

    def start(name="move", **arguments):
        program = Program(name, {"control": pools, "queue": "q", "target": "new", **arguments}, MODULE)
        programs.append(program)
        assert program.line() == "made"
        return program

    yield start
    for program in programs:
        program.kill()


@pytest.fixture
def upkeep_of(driver):
    """The upkeep of a process that consumes."""
    made = MoveUpkeep(driver)
    yield made
    made.close()


def taken_over(driver):
    """Take the move over as a process that lives."""
    moves = driver.catalog.moves
    return moves.take_over("q", None, moves.find("q"), processes.process())


def is_over(driver):
    found = driver.catalog.moves.find("q")
    return found is not None and found.move.phase == MOVED


@pytest.mark.parametrize("steps", range(5))
def test_the_move_of_a_process_that_was_killed_after_any_step_is_finished(driver, started, upkeep_of, steps):
    started(steps=steps, copies=True).kill()

    upkeep_of.start()

    until(lambda: is_over(driver))
    assert driver.catalog.pool_of("q") == "new"
    assert QueueHandle(driver, "q", None).free() == [*map(str, range(250))]


def test_a_batch_that_a_killed_process_had_copied_is_in_one_pool(driver, started, upkeep_of):
    started("put_aside").kill()

    upkeep_of.start()

    until(lambda: is_over(driver))
    assert QueueHandle(driver, "q", None).free() == [*map(str, range(250))]


def test_the_move_of_a_living_process_is_left_to_it(driver, started, upkeep_of):
    started(steps=2, copies=True)

    assert upkeep_of.run_once()

    assert driver.catalog.moves.find("q").move.epoch == 1


def test_a_stopped_process_is_superseded_and_stores_no_more(driver, started, upkeep_of, pools, monkeypatch):
    stopped = started(steps=2, copies=True)
    stopped.signal(signal.SIGSTOP)
    stalled = DataDriver(None, None, pools)
    run = MoveRun(stalled.catalog.moves, "q", None, taken_over(stalled))
    monkeypatch.setattr(upkeep, "LEASE", 0.0)

    upkeep_of.start()

    until(lambda: is_over(driver))
    assert driver.catalog.moves.find("q").move.epoch > 2
    assert not run.step()
    stalled.close()
    assert run.found is None
    assert QueueHandle(driver, "q", None).free() == [*map(str, range(250))]


def test_a_holder_that_beats_is_not_superseded(driver, started, upkeep_of):
    started(steps=2, copies=False)
    found = driver.catalog.moves.find("q")
    begin = time.monotonic()

    assert not upkeep_of._is_left(found.move, begin)
    beaten = driver.catalog.moves.beat("q", None, found)

    assert not upkeep_of._is_left(beaten.move, begin + upkeep.LEASE)
    assert not upkeep_of._is_left(beaten.move, begin + 2 * upkeep.LEASE - 1)
    assert upkeep_of._is_left(beaten.move, begin + 2 * upkeep.LEASE)


def test_a_worker_that_stops_leaves_its_moves_to_others_at_once(driver, started, upkeep_of):
    held = QueueHandle(driver, "q", None).claim(limit=1)
    started(steps=2, copies=True).kill()
    upkeep_of.start()
    until(lambda: driver.catalog.moves.find("q").move.copied == 249)

    upkeep_of.close()

    move = driver.catalog.moves.find("q").move
    assert (move.holder, move.phase != MOVED) == ("", True)
    successor = MoveUpkeep(driver)
    successor.start()
    QueueHandle(driver, "q", None).end(held.id)
    until(lambda: is_over(driver))
    successor.close()


def test_a_move_that_waits_for_a_consumer_keeps_no_other_one_waiting(driver, started, upkeep_of):
    driver.queue_controller.create("another")
    driver.catalog.control.catalogue_controller.find(None, "another")
    QueueHandle(driver, "q", None).claim(limit=1)
    moves = driver.catalog.moves
    for queue in ("q", "another"):
        found = moves.plan(queue, None, "new", copies=True, holder="")
        assert found.move.holder == ""

    upkeep_of.start()

    until(lambda: moves.find("another").move.phase == MOVED)
    assert moves.find("q").move.phase != MOVED


def test_the_thread_ends_when_there_is_no_move_left(driver, upkeep_of):
    moves = driver.catalog.moves
    found = moves.plan("q", None, "new", copies=True, holder="")
    assert moves.abort("q", None, found)

    upkeep_of.start()

    until(lambda: upkeep_of._thread is None)


def test_a_sealed_queue_is_collected_after_the_idempotency_window(pools, tmp_path):
    clock = ManualClock()
    driver = DataDriver(None, None, pools, clock=clock)
    made = MoveUpkeep(driver)
    run = MoveRun(driver.catalog.moves, "q", None, driver.catalog.moves.plan("q", None, "new", copies=True, holder="h"))
    while run.step():
        pass
    made.run_once()
    assert driver.catalog.get_driver("old").queue_controller.exists("q")
    clock.advance(IDEMPOTENCY_WINDOW + 1)
    made._looks_at = made._collects_at = 0.0

    made.run_once()

    assert not driver.catalog.get_driver("old").queue_controller.exists("q")
    assert driver.catalog.moves.find("q") is None
    made.close()
    driver.close()


def test_a_consuming_process_goes_on_at_once_with_the_move_of_a_process_that_was_killed(pools, started, opened, driver):
    channel = opened(f"pool+{pools}").channel()
    inbox = consume(channel, "q", ack=True)
    inbox.wait_for(250)
    targets = itertools.cycle(["new", "old"])

    def seconds():
        mover = started(steps=2, copies=True, target=next(targets))
        begin = time.monotonic()
        mover.kill()
        until(lambda: is_over(driver))
        return time.monotonic() - begin

    assert best_of(seconds, AT_ONCE) < AT_ONCE
    publish(channel, "q", "last")
    inbox.wait_for(251)


@pytest.mark.parametrize("steps", range(5))
def test_a_consumer_that_starts_after_any_step_of_a_dead_process_gets_the_messages(pools, started, opened, steps):
    started(steps=steps, copies=True).kill()
    channel = opened(f"pool+{pools}").channel()

    channel.queue_declare("q", passive=True)
    inbox = consume(channel, "q", ack=True)

    inbox.wait_for(250)
    assert inbox.bodies == [*map(str, range(250))]


def test_a_process_without_moves_starts_no_thread_for_them(pools, opened):
    connection = opened(f"pool+{pools}")
    consume(connection.channel(), "q", ack=True).wait_for(250)
    maintenance = connection.connection.broker.maintenance

    maintenance.run_once()

    assert maintenance._moves._thread is None
