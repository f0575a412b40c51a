"""The API while a pool does not answer, or holds very many messages."""

from __future__ import annotations

import pytest

from kombu_pool.pooling import add_pool
from kombu_pool.web.management import queue_objects
from tests.support.limits import best_of, seconds_of
from tests.support.servers.redis_server import Server


@pytest.fixture
def redis():
    with Server() as server:
        yield server


@pytest.fixture
def two_pools(api, redis):
    """The API with the queue "here" in SQLite, and "there" in Redis, each with a message."""
    api.store.control.flavors_controller.create("far")
    add_pool(api.store.control, {"name": "far", "uri": redis.uri(), "weight": 1, "flavor": "far"}, None)
    api.done("PUT", "/queues/%2F/here", {})
    api.done("PUT", "/queues/%2F/there", {"arguments": {"x-pool-flavor": "far"}})
    for queue in ("here", "there"):
        api.publish(queue)
    return api


def test_the_queues_of_a_pool_that_does_not_answer_are_down_and_the_others_there(two_pools, redis, monkeypatch):
    monkeypatch.setattr(queue_objects, "POOL_TIMEOUT", 0.7)
    redis.pause()
    try:
        found = {queue["name"]: queue for queue in two_pools.get("/queues")}
        seconds = best_of(lambda: seconds_of(lambda: two_pools.get("/queues")), 1.0)
        status, error, reason = two_pools.refused("GET", "/queues/%2F/there")
        nodes = {node["name"]: node["running"] for node in two_pools.get("/nodes")}
    finally:
        redis.resume()

    assert (found["here"]["state"], found["here"]["messages"]) == ("running", 1)
    assert found["there"]["state"] == "down"
    assert not {"messages", "paused"} & found["there"].keys()
    assert "'far'" in found["there"]["reason"]
    assert seconds < 1.0
    # A scaler would take an answer without counts as an empty queue.
    assert (status, error) == (503, "unavailable")
    assert "'far'" in reason
    assert nodes == {"default": True, "far": False}


def test_an_action_on_a_pool_that_is_gone_is_an_error_that_names_it(two_pools, redis):
    redis.stop()

    publish = {"routing_key": "there", "payload": "m", "payload_encoding": "string", "properties": {}}
    get = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}
    refusals = [
        two_pools.refused("POST", "/exchanges/%2F/amq.default/publish", publish),
        two_pools.refused("POST", "/queues/%2F/there/get", get),
        two_pools.refused("DELETE", "/queues/%2F/there/contents"),
    ]

    assert {refusal[:2] for refusal in refusals} == {(503, "unavailable")}
    assert all("'far'" in refusal[2] for refusal in refusals)
    assert two_pools.publish("here") == {"routed": True}


def test_a_long_queue_costs_as_much_as_a_short_one(api):
    api.done("PUT", "/queues/%2F/long", {})
    for _ in range(15):
        api.store.message_controller.post("long", [{"ttl": None, "body": b""}] * 10_000, None)

    seconds = best_of(lambda: seconds_of(lambda: api.queue("long")), 0.2)
    found = api.queue("long")

    # A count may stop at 100,000.
    assert found["messages"] == 150_000 if found["messages_exact"] else found["messages"] >= 100_000
    assert seconds < 1.0
    assert best_of(lambda: seconds_of(lambda: api.messages("long", 10)), 0.2) < 1.0
