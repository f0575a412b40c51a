from __future__ import annotations

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.redis.keys import queue_keys
from tests.conformance.handles import QueueHandle, bodies
from tests.drivers.redis.cluster.places import owner_of


@pytest.fixture
def driver(cluster):
    driver = drivers.open_data(cluster.uri())
    yield driver
    driver.close()
    for node in cluster.nodes:
        node.ask("CONFIG", "SET", "maxmemory", 0)


def node_of(cluster, queue):
    """Return the server that has a queue."""
    return owner_of(cluster, queue_keys("kombu-pool", None, queue).queue)


def test_a_letter_whose_node_is_full_is_lent_all_the_same(cluster, driver):
    here, names = "q", [f"dead {number}" for number in range(99)]
    elsewhere = next(name for name in names if node_of(cluster, name) is not node_of(cluster, here))
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
