"""Queues and their holders while several processes check them for expiry."""

from __future__ import annotations

import threading

import pytest

from kombu_pool import drivers

QUEUES = [f"q{number}" for number in range(150)]


@pytest.fixture
def control(uri, clock):
    driver = drivers.open_control(uri, clock=clock)
    yield driver
    driver.close()


@pytest.fixture
def consumers(control):
    return control.consumers_controller


def test_a_queue_that_is_held_while_others_look_is_abandoned_when_its_holder_dies(uri, clock, consumers):
    other = drivers.open_control(uri, clock=clock)
    done = threading.Event()

    def look():
        while not done.is_set():
            other.consumers_controller.expired_queues()

    looking = threading.Thread(target=look)
    looking.start()
    for queue in QUEUES:
        consumers.set_lifetime(queue, 0.0)
        consumers.add_holder(queue, f"holder of {queue}", 60)
    done.set()
    looking.join(30)
    other.close()

    clock.advance(61)

    assert {queue for _, queue in consumers.expired_queues(limit=1000)} == {*QUEUES}


def test_a_look_costs_the_same_however_many_queues_are_held(consumers, round_trips, clock):
    for queue in QUEUES:
        consumers.set_lifetime(queue, 10)
        consumers.add_holder(queue, "holder", 60)
    clock.advance(50)
    consumers.renew(["holder"], 60)
    clock.advance(20)

    assert round_trips(consumers.expired_queues) <= 4
    assert round_trips(consumers.expired_queues) == 1


def test_queues_that_live_do_not_hide_one_that_is_abandoned(consumers, clock):
    for number in range(50):
        consumers.set_lifetime(f"alive {number}", 10, from_now=True)
        consumers.add_holder(f"alive {number}", "one", 1000)
        consumers.touch(f"alive {number}")
    consumers.set_lifetime("dead", 20, from_now=True)
    clock.advance(30)

    assert consumers.expired_queues(limit=1) == [(None, "dead")]


def test_holders_that_died_without_a_word_do_not_pile_up(consumers, database, clock):
    for number in range(200):
        consumers.add_holder("q", f"dead {number}", 60)
    clock.advance(2 * 86_400)

    consumers.add_holder("q", "alive", 60)

    assert database["kombu_pool_holders"].count_documents({}) == 1


def test_nothing_is_left_of_a_queue_that_expired(consumers, database, clock):
    consumers.set_lifetime("q", 60, from_now=True)
    consumers.add_holder("q", "one", 60)

    clock.advance(121)
    assert consumers.expire("q")
    consumers.remove_holders(["one"])

    assert not database["kombu_pool_holders"].count_documents({})
    assert not database["kombu_pool_control_queues"].count_documents({})


def test_what_each_step_of_a_holder_costs(consumers, round_trips):
    consumers.set_lifetime("q", 10)

    assert round_trips(lambda: consumers.add_holder("q", "one", 60)) == 3
    assert round_trips(lambda: consumers.renew(["one", "two"], 60)) == 2
    assert round_trips(lambda: consumers.count("q")) == 1
    assert round_trips(lambda: consumers.holders("o")) == 1
    assert round_trips(lambda: consumers.remove_holders(["one"])) == 3
    assert round_trips(lambda: consumers.touch("q")) == 1
