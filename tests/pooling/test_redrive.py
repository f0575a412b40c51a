"""Redriving dead letters during consumption, and after the redriving process was killed."""

from __future__ import annotations

import json
import signal
from contextlib import closing

import pytest

import kombu_pool
from kombu_pool import errors
from kombu_pool.pooling import DataDriver
from kombu_pool.storage.dead_letters import RESERVATION_TTL
from kombu_pool.storage.redrive import BATCH_SIZE
from kombu_pool.testing import ManualClock
from tests.support.pooling.switchable_stores import bodies
from tests.support.servers import mongodb
from tests.support.servers.redis_shared import fresh_cluster_uri, fresh_uri
from tests.support.transport.child_programs import Programs

DEAD_LETTER = {"queue": "work", "reason": "rejected", "time": 1.0, "count": 1}
ONE_STORE = {
    "sqlite": lambda folder: f"sqlite:///{folder}/store.db",
    "redis": lambda _: fresh_uri(),
    "redis-cluster": lambda _: fresh_cluster_uri(),
    "mongodb": lambda _: mongodb.fresh_uri(),
    "mongodb-standalone": lambda _: mongodb.fresh_standalone_uri(),
}


@pytest.fixture(params=[*ONE_STORE, "two pools"])
def uri(request, tmp_path):
    """The control store of a broker with the queues "work" and "dead"."""
    if request.param == "two pools":
        return two_pools(f"sqlite:///{tmp_path}/control.db", f"sqlite:///{tmp_path}/dead.db", fresh_uri())
    made = ONE_STORE[request.param](tmp_path)
    with closing(DataDriver(None, None, made)) as driver:
        for queue in ("work", "dead"):
            driver.queue_controller.create(queue)
    return made


def two_pools(control, dead_uri, work_uri):
    pools = [{"name": "dead", "uri": dead_uri}, {"name": "work", "uri": work_uri}]
    with closing(kombu_pool.open(control, pools=pools)) as driver:
        for name in ("dead", "work"):
            driver.control.catalogue_controller.insert(None, name, name)
            driver.queue_controller.create(name)
    return control


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def driver(uri, clock):
    """A driver with the same clock as the programs that are killed."""
    opened = DataDriver(None, None, uri, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def programs():
    programs = Programs("tests.support.pooling.child_redrive")
    yield programs
    programs.kill()


def post_dead_letters(driver, count):
    for first in range(0, count, 500):
        numbers = range(first, min(first + 500, count))
        messages = [{"ttl": None, "body": number, "dead_letter": DEAD_LETTER} for number in numbers]
        driver.message_controller.post("dead", messages, None)


def start_together(started):
    """Start the work of all programs at once."""
    assert [program.line() for program in started] == ["ready"] * len(started)
    for program in started:
        program.tell()


def test_two_redrives_and_two_consumers_lose_and_double_nothing(uri, programs):
    with closing(DataDriver(None, None, uri)) as driver:
        post_dead_letters(driver, 1500)
        redrives = [programs.start("redrive", uri=uri) for _ in range(2)]
        consumers = [programs.start("consume", uri=uri, queue=queue) for queue in ("work", "dead")]
        start_together(redrives + consumers)
        done = [json.loads(redrive.line()) for redrive in redrives]
        for queue in ("work", "dead"):
            driver.queue_controller.set_metadata(queue, {"complete": True})

        acked = [json.loads(consumer.line()) for consumer in consumers]

        assert sorted(acked[0] + acked[1]) == list(range(1500))
        assert sum(moved for moved, _ in done) == len(acked[0])
        assert [duplicated for _, duplicated in done] == [0, 0]
        assert [bodies(driver, queue) for queue in ("work", "dead")] == [[], []]


def test_a_process_killed_before_it_stores_loses_and_doubles_nothing(uri, driver, clock, programs):
    post_dead_letters(driver, 150)
    programs.start("killed_before_storing", uri=uri).dies()
    assert driver.message_controller.count("dead") == 50
    clock.advance(RESERVATION_TTL)

    assert driver.redrive("dead").moved == {"work": 150}

    assert bodies(driver, "work") == list(range(150))


def test_a_process_killed_before_it_removes_leaves_one_step_in_both(uri, driver, clock, programs):
    post_dead_letters(driver, 150)
    programs.start("killed_before_removing", uri=uri).dies()
    assert (bodies(driver, "work"), driver.message_controller.count("dead")) == (list(range(BATCH_SIZE)), 50)
    clock.advance(RESERVATION_TTL)

    assert driver.redrive("dead").moved == {"work": 150}

    assert bodies(driver, "work") == [*range(BATCH_SIZE), *range(150)]
    assert bodies(driver, "dead") == []


def test_a_process_killed_at_any_time_loses_nothing(uri, driver, clock, programs):
    post_dead_letters(driver, 2000)
    for steps in (1, 3, 2):
        victim = programs.start("redrive_until_killed", uri=uri)
        for _ in range(steps):
            assert victim.line() == "step"
        victim.signal(signal.SIGKILL)
        victim.kill()
        clock.advance(RESERVATION_TTL)

    driver.redrive("dead")

    redriven = bodies(driver, "work")
    assert set(redriven) == set(range(2000))
    assert len(redriven) <= 2000 + 3 * BATCH_SIZE
    assert bodies(driver, "dead") == []


# Outages of one pool.


@pytest.fixture
def mixed(populated):
    """The queue "dead" in pool a, with a dead letter of of-b, in pool b, and then one of of-a."""
    populated.control.catalogue_controller.insert(None, "dead", "a")
    populated.queue_controller.create("dead")
    dead_letters = [
        {"ttl": None, "body": name, "dead_letter": {**DEAD_LETTER, "queue": name}} for name in ("of-b", "of-a")
    ]
    populated.message_controller.post("dead", dead_letters, None)
    return populated


def test_a_pool_that_is_down_keeps_its_letters_waiting_and_no_others(mixed, stores):
    stores.switch_off("b")

    done = mixed.redrive("dead")

    assert (done.moved, done.remaining) == ({"of-a": 1}, {"of-b": 1})
    assert isinstance(done.refusals["of-b"], errors.PoolUnavailable)
    stores.switch_on("b")
    assert bodies(mixed, "dead") == ["of-b"]
    assert mixed.redrive("dead").moved == {"of-b": 1}
    assert (bodies(mixed, "of-b"), bodies(mixed, "dead")) == (["of-b"], [])


def test_the_pool_of_the_dead_letter_queue_is_missed_at_once(mixed, stores):
    stores.switch_off("a")

    with pytest.raises(errors.PoolUnavailable):
        mixed.redrive("dead")

    stores.switch_on("a")
    assert mixed.redrive("dead").moved == {"of-a": 1, "of-b": 1}
