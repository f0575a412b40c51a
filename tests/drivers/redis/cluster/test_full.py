from __future__ import annotations

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.redis.keys import queue_keys
from kombu_pool.testing import QueueHandle, bodies
from tests.support.redis.cluster_keys import owner_of
from tests.support.redis.stored_keys import LAYOUT_KEY


@pytest.fixture
def driver(cluster):
    driver = drivers.open_data(cluster.uri())
    yield driver
    driver.close()
    for node in cluster.nodes:
        node.ask("CONFIG", "SET", "maxmemory", 0)


def node_of(cluster, queue):
    """Return the server of a queue."""
    return owner_of(cluster, queue_keys("kombu-pool", None, queue).queue)


def on_another_node(cluster, here):
    """Return the name of a queue on another node."""
    names = (f"dead {number}" for number in range(99))
    return next(name for name in names if node_of(cluster, name) is not node_of(cluster, here))


def test_a_letter_whose_node_is_full_is_lent_all_the_same(cluster, driver):
    here, elsewhere = "q", on_another_node(cluster, "q")
    driver.queue_controller.create(elsewhere)
    driver.queue_controller.create(here, {"_max_claim_count": 1, "_dead_letter_queue": elsewhere})
    queue = QueueHandle(driver, here, None)
    queue.post("a", "b")
    queue.end(queue.claim().id)
    node_of(cluster, elsewhere).ask("CONFIG", "SET", "maxmemory", 1)

    held = queue.claim()

    assert bodies(held) == ["a", "b"]
    with pytest.raises(errors.StoreFull, match="maxmemory"):
        QueueHandle(driver, elsewhere, None).post("c")


def test_what_is_rejected_waits_while_the_node_of_its_dead_letter_queue_is_full(cluster, driver):
    elsewhere = on_another_node(cluster, "q")
    driver.queue_controller.create(elsewhere)
    driver.queue_controller.create("q", {"_dead_letter_queue": elsewhere})
    queue, dead = (QueueHandle(driver, name, None) for name in ("q", elsewhere))
    queue.post("a", "b")
    node_of(cluster, elsewhere).ask("CONFIG", "SET", "maxmemory", 1)

    assert queue.reject(queue.claim()) == []
    assert (queue.all(), dead.all()) == ([], [])
    node_of(cluster, elsewhere).ask("CONFIG", "SET", "maxmemory", 0)
    assert driver.dead_letter_all() == 2

    assert dead.free() == ["a", "b"]
    for name in ("q", elsewhere):
        driver.queue_controller.delete(name)
    assert [key for node in cluster.nodes for key in node.ask("KEYS", "*")] == [LAYOUT_KEY]
