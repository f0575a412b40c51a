"""A series of looks counts queues with many messages in turn."""

from __future__ import annotations

import pytest

from kombu_pool.drivers.memory.messages import MessageController
from kombu_pool.operator.count_budget import CountBudget
from kombu_pool.operator.queues import list_queues
from kombu_pool.pooling import DataDriver

QUEUES = [f"queue-{number}" for number in range(6)]


@pytest.fixture
def store(monkeypatch, request):
    """A pooled store in memory that counts 100 messages at once, with six queues."""
    monkeypatch.setattr(MessageController, "counted_at_once", 100)
    driver = DataDriver(None, None, f"memory://{request.node.name}")
    for name in QUEUES:
        driver.queue_controller.create(name)
    yield driver
    driver.close()


def post(store, queue, number):
    store.message_controller.post(queue, [{"ttl": None, "body": 0}] * number, None)


def look(store, budget):
    """Return the ready messages by queue."""
    return {row.queue: row.ready for row in list_queues(store, None, budget=budget).queues}


def test_all_queues_are_counted_while_they_have_few_messages(store):
    budget = CountBudget()
    for name in QUEUES:
        post(store, name, 8)
        look(store, budget)

    post(store, QUEUES[0], 8)

    assert look(store, budget) == {**dict.fromkeys(QUEUES, 8), QUEUES[0]: 16}


def test_long_queues_are_counted_in_turn_and_short_ones_each_time(store):
    budget = CountBudget()
    *long, short = QUEUES
    for name in long:
        post(store, name, 50)
    look(store, budget)

    for number in range(1, 4):
        for name in QUEUES:
            post(store, name, 1)
        seen = look(store, budget)
        assert seen[short] == number
        assert sum(seen[name] == 50 + number for name in long) == 2

    # Each of the five has had its turn in three looks, two at a time.
    assert set(seen.values()) == {3, 51, 52, 53}


def test_a_queue_that_is_new_or_deleted_is_seen_at_once(store):
    budget = CountBudget()
    for name in QUEUES:
        post(store, name, 50)
    look(store, budget)
    store.queue_controller.delete(QUEUES[0])
    store.queue_controller.create("new")
    post(store, "new", 50)

    seen = look(store, budget)

    assert seen["new"] == 50
    assert QUEUES[0] not in seen


def test_without_a_budget_all_are_counted(store):
    for name in QUEUES:
        post(store, name, 50)

    assert [row.ready for row in list_queues(store, None).queues] == [50] * 6
