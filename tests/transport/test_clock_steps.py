"""A machine that was suspended, and a wall clock that was set, on a store whose clock is this machine's."""

from __future__ import annotations

import time

import pytest

from kombu_pool.clock import SystemClock
from tests.support.transport.traffic import consume, declare, exists, publish, take_all

HOUR = 3600.0
#: Seconds of several looks for what has expired.
WHILE = 2.5


@pytest.fixture
def url(tmp_path):
    return f"pool+sqlite:///{tmp_path}/broker.db"


@pytest.fixture
def ours(opened, url):
    return opened(url).channel()


@pytest.fixture
def theirs(opened, url):
    """A channel with claims of its own."""
    return opened(url, ack_delay=0.003).channel()


@pytest.fixture
def suspend(monkeypatch):
    """Suspend the machine for an hour: all its clocks go on."""

    def suspend():
        elapsed, wall = SystemClock.elapsed, time.time
        monkeypatch.setattr(SystemClock, "elapsed", lambda clock: elapsed(clock) + HOUR)
        monkeypatch.setattr(SystemClock, "time", staticmethod(lambda: wall() + HOUR))

    return suspend


@pytest.fixture(params=[HOUR, -HOUR], ids=["forwards", "back"])
def step(monkeypatch, request):
    """Set the wall clock."""

    def step():
        wall = time.time
        monkeypatch.setattr(SystemClock, "time", staticmethod(lambda: wall() + request.param))

    return step


def test_a_process_that_was_suspended_neither_begins_nor_settles_what_it_held(ours, theirs, suspend, caplog):
    declare(ours, "q")
    ours.basic_qos(0, 2, False)
    publish(ours, "q", "begun", "waiting")
    inbox = consume(ours, "q", consumer_tag="tag")
    (begun,) = inbox.wait_for(1)

    suspend()
    others = consume(theirs, "q", ack=False)
    others.wait_for(2)
    begun.ack()
    inbox.expect_no_more()

    assert inbox.bodies == ["begun"]
    assert sorted(others.bodies) == ["begun", "waiting"]
    ours.connection.broker.settlement.flush()
    assert "late acknowledgement" in caplog.text
    theirs.basic_recover(requeue=True)
    others.wait_for(4)


def test_a_step_of_the_wall_clock_ends_no_claim(ours, theirs, step):
    declare(ours, "q")
    publish(ours, "q", "a", "b")
    inbox = consume(ours, "q")
    inbox.wait_for(2)

    step()
    others = consume(theirs, "q")
    others.expect_no_more(WHILE)
    for message in inbox.messages:
        message.ack()
    ours.connection.broker.settlement.flush()

    assert take_all(theirs, "q") == []


def test_a_step_of_the_wall_clock_takes_no_queue_of_the_living(ours, theirs, step):
    declare(ours, "mine", exclusive=True, auto_delete=True)
    declare(ours, "expiring", arguments={"x-expires": 60_000})
    consume(ours, "mine")
    consume(ours, "expiring")
    consume(theirs, "expiring")

    step()
    time.sleep(WHILE)

    assert exists(ours, "mine")
    assert exists(theirs, "expiring")
    publish(ours, "mine", "a")


def test_a_step_of_the_wall_clock_brings_no_task_forward(ours, step):
    declare(ours, "q")
    publish(ours, "q", "due")

    step()

    assert take_all(ours, "q") == ["due"]
