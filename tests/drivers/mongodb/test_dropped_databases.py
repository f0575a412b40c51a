"""A database that is dropped, or restored empty, while processes use it."""

from __future__ import annotations

import threading

import pytest

from kombu_pool import drivers
from kombu_pool.testing import QueueHandle, bodies
from tests.support.limits import LIMIT


@pytest.fixture
def control(uri):
    driver = drivers.open_control(uri)
    yield driver
    driver.close()


@pytest.fixture
def other_process(uri):
    """A control driver with its own client, as in another process."""
    driver = drivers.open_control(f"{uri}{'&' if '?' in uri else '?'}appName=another")
    yield driver
    driver.close()


@pytest.fixture
def drop(database):
    return lambda: database.client.drop_database(database.name)


def indexes(database, collection):
    return {*database[f"kombu_pool_{collection}"].index_information()} - {"_id_"}


def declare(control):
    control.pools_controller.create("pool", 1, "memory://pool")
    control.catalogue_controller.insert_if_absent(None, "q", "pool")
    control.bindings_controller.create_exchange("x", "direct")
    control.bindings_controller.bind("x", "q")


def test_asking_for_the_epoch_makes_the_indexes_again(control, other_process, database, drop):
    for driver in (control, other_process):
        driver.epoch()
    declare(control)
    before = {name: indexes(database, name) for name in ("control_queues", "bindings", "holders")}
    drop()

    assert control.epoch() == other_process.epoch()
    declare(other_process)

    assert {name: indexes(database, name) for name in before} == before


def test_who_learns_of_it_later_keeps_the_indexes(control, other_process, database, drop):
    for driver in (control, other_process):
        driver.epoch()
        declare(driver)
    before = indexes(database, "control_queues")
    drop()
    control.epoch()
    declare(control)

    other_process.epoch()
    declare(other_process)

    assert indexes(database, "control_queues") == before


def test_who_has_not_learnt_of_it_yet_registers_each_queue_once(uri, control, other_process, drop):
    declare(control)
    declare(other_process)
    drop()
    queues, answers = [f"q{number}" for number in range(30)], []
    for name in ("a", "b"):
        control.pools_controller.create(name, 1, f"memory://{name}")
    together = threading.Barrier(2)

    def register(driver, pool):
        together.wait(LIMIT)
        answers.append([driver.catalogue_controller.insert_if_absent(None, queue, pool) for queue in queues])

    threads = [threading.Thread(target=register, args=pair) for pair in ((control, "a"), (other_process, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert answers[0] == answers[1]
    control.epoch()
    assert len(control.catalogue_controller.list(None)) == len(queues)


def test_no_generation_is_used_again(control, drop):
    bindings = control.bindings_controller
    declare(control)
    before = bindings.generation("x")
    drop()

    declare(control)

    assert bindings.generation("x") > before


def test_a_pool_has_its_indexes_again_with_its_first_queue(driver, database, drop):
    queue = QueueHandle(driver, "queue", "p")
    queue.create()
    queue.post("before")
    before = indexes(database, "messages")
    drop()

    queue.create()
    queue.post("after")

    assert indexes(database, "messages") == before
    assert queue.stats()["total"] == 1
    assert bodies(queue.claim()) == ["after"]
