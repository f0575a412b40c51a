"""Queues with a maximum length, also while several processes post."""

from __future__ import annotations

import contextlib

import pytest

from kombu_pool import codec, drivers, errors
from kombu_pool.testing import QueueHandle, bodies
from tests.support.mongodb.children import result_of, start_child
from tests.support.mongodb.failures import Died, die

#: Bodies whose records have one size, in bytes.
FIRST_BODY = 100_000
SIZE = len(codec.encode(FIRST_BODY, 1000))


def test_two_processes_do_not_fill_a_queue_that_refuses_more(uri):
    driver = drivers.open_data(uri)
    queue = QueueHandle(driver, "refusing", "p")
    queue.create(_max_length=25, _overflow="reject-publish")

    def work():
        mine, stored = QueueHandle(drivers.open_data(uri), "refusing", "p"), 0
        for number in range(40):
            with contextlib.suppress(errors.QueueIsFull):
                stored += len(mine.post(number))
        return stored

    children = [start_child(work) for _ in range(2)]

    assert sum(int(result_of(child)) for child in children) == 25
    assert queue.count() == 25
    driver.close()


def test_what_is_too_much_by_thousands_dies_in_order(driver, queues, dlq):
    queue = queues("short")
    queue.post(*range(2100))
    driver.queue_controller.set_metadata("short", {"_max_length": 10, "_dead_letter_queue": "dlq"}, "p")

    queue.post(2100)
    driver.dead_letter_all()

    assert queue.free() == [*range(2091, 2101)]
    assert dlq.free() == [*range(2091)]


@pytest.mark.parametrize("limits", [{"_max_length": 10}, {"_max_length_bytes": 10 * SIZE}], ids=["messages", "bytes"])
def test_processes_leave_a_queue_as_long_as_it_may_be_and_lose_nothing(uri, limits):
    """Of several that see it too long at once, none makes room for what another made room for."""
    driver = drivers.open_data(uri)
    dlq, queue = QueueHandle(driver, "dlq", "p"), QueueHandle(driver, "short", "p")
    dlq.create()
    queue.create(**limits, _dead_letter_queue="dlq")

    def work(first):
        mine = QueueHandle(drivers.open_data(uri), "short", "p")
        for number in range(first, first + 20):
            mine.post(FIRST_BODY + number)

    children = [start_child(lambda first=first: work(first)) for first in (0, 20, 40, 60)]
    for child in children:
        result_of(child)
    driver.dead_letter_all()

    assert queue.count() == 10
    assert sorted(queue.free() + dlq.free()) == [FIRST_BODY + number for number in range(80)]
    driver.close()


def test_a_process_that_dies_while_it_posts_blocks_a_queue_for_a_bounded_time(queues, driver, clock, monkeypatch):
    queue = queues("refusing", _max_length=5, _overflow="reject-publish")
    collection = type(driver._store.queues)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver.message_controller._writer, "store", die)
        patch.setattr(collection, "update_one", _all_but_unlock(collection.update_one))
        with pytest.raises(Died):
            queue.post("a")
    monkeypatch.setattr("kombu_pool.drivers.mongodb.limits._LOCK_TIMEOUT", 0.02)

    with pytest.raises(errors.ConnectionError):
        queue.post("b")
    clock.advance(20)
    queue.post("c")

    assert queue.free() == ["c"]


def test_a_queue_that_goes_while_a_post_waits_does_not_exist(queues, driver, clock):
    queue = queues("refusing", _max_length=5, _overflow="reject-publish")
    found = driver._store.queue("p", "refusing")
    with driver.message_controller._length_limit._locked(found):
        queue.drop()
        with pytest.raises(errors.QueueDoesNotExist), driver.message_controller._length_limit._locked(found):
            pass


def test_a_long_queue_is_shortened_step_by_step(queues, dlq, driver):
    queue = queues("long", _dead_letter_queue="dlq")
    queue.post(*range(2500))
    driver.queue_controller.set_metadata("long", {"_dead_letter_queue": "dlq", "_max_length": 10}, "p")

    queue.post("last")
    while driver.dead_letter_all():
        pass

    assert queue.count() == 10
    assert dlq.free() == [*range(2491)]
    assert bodies(queue.pop(1)) == [2491]


def _all_but_unlock(original):
    def update_one(self, where, update, **options):
        return die() if "$unset" in update else original(self, where, update, **options)

    return update_one
