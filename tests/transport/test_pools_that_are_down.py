"""Declaring queues while a pool is down: known ones, new ones, and control queues; and flavors without a pool."""

from __future__ import annotations

import pytest

from kombu_pool import errors
from tests.support.transport.pool_outages import Outages
from tests.support.transport.traffic import Inbox, count, declare, exists, publish, take_all


@pytest.fixture
def pools(store, tmp_path):
    """The URIs of the pools a and b, which have no flavor."""
    return {name: store.uri(tmp_path) for name in ("a", "b")}


@pytest.fixture
def outages(monkeypatch, pools):
    return Outages(monkeypatch, pools)


@pytest.fixture
def options(pools, outages):
    return {"pools": [{"name": name, "uri": uri} for name, uri in pools.items()]}


@pytest.fixture
def channel(connect, options):
    return connect(**options).channel()


@pytest.fixture
def catalog(channel):
    return channel.connection.broker.data.catalog


def declared_in(channel, catalog, pool):
    """Declare queues until one is in that pool; return its name."""
    for number in range(100):
        declare(channel, f"{pool}{number}")
        if catalog.pool_of(f"{pool}{number}") == pool:
            return f"{pool}{number}"
    raise AssertionError(f"no queue is in {pool}")


def test_a_known_queue_of_a_pool_that_is_down_is_declared_with_no_messages(channel, catalog, outages):
    queue = declared_in(channel, catalog, "a")
    publish(channel, queue, "x")
    outages.switch_off("a")

    answers = [channel.queue_declare(queue, durable=True, auto_delete=False) for _ in range(2)]
    with pytest.raises(errors.PoolUnavailable, match="'a'"):
        count(channel, queue)

    assert answers == [(queue, 0, 0)] * 2
    outages.switch_on("a")
    assert take_all(channel, queue) == ["x"]


def test_a_known_queue_of_a_pool_that_is_down_is_deleted_and_its_messages_once_the_pool_answers(
    channel, catalog, outages
):
    queue = declared_in(channel, catalog, "a")
    publish(channel, queue, "x")
    outages.switch_off("a")

    assert channel.queue_delete(queue) == 0

    assert not exists(channel, queue)
    outages.switch_on("a")
    channel.connection.broker.data.queue_controller.end_deletions()
    declare(channel, queue)
    assert count(channel, queue) == 0


def test_new_queues_are_in_the_pool_that_answers(channel, catalog, outages):
    outages.switch_off("a")

    declare(channel, *(f"q{number}" for number in range(10)))

    assert {catalog.pool_of(f"q{number}") for number in range(10)} == {"b"}


def test_no_queue_is_declared_while_no_pool_answers(channel, catalog, outages):
    for name in ("a", "b"):
        outages.switch_off(name)

    with pytest.raises(channel.connection.client.connection_errors, match="is unreachable"):
        declare(channel, "q")

    assert not channel.connection.broker.data.queue_controller.exists("q")


CONTROL_QUEUES = [
    {"exclusive": True},
    {"auto_delete": True},
    {"arguments": {"x-expires": 60_000}},
]


@pytest.mark.parametrize("properties", CONTROL_QUEUES)
def test_a_control_queue_needs_no_pool(channel, catalog, outages, properties):
    for name in ("a", "b"):
        outages.switch_off(name)
    channel.queue_declare("replies", **{"auto_delete": False, **properties})
    inbox = Inbox(channel.connection.client, ack=True)
    channel.basic_consume("replies", callback=inbox)

    publish(channel, "replies", "pong")

    assert inbox.wait_for(1)[0].payload == "pong"
    assert catalog.pool_of("replies") == "kombu_pool.control"


def test_a_control_queue_with_a_flavor_is_in_a_pool_of_it(connect, options, pools):
    flavored = {"pools": [{"name": "a", "uri": pools["a"]}, {"name": "b", "uri": pools["b"], "flavor": "fast"}]}
    channel = connect(**options | flavored).channel()

    channel.queue_declare("replies", auto_delete=True, arguments={"x-pool-flavor": "fast"})

    assert channel.connection.broker.data.catalog.pool_of("replies") == "b"


def test_a_flavor_of_queues_without_a_pool_is_found_by_the_first_connection(connect, options):
    connection = connect(**options, queue_flavors={"slow.*": "slow"})

    with pytest.raises(errors.ConfigurationError, match=r"queue_flavors gives the queues 'slow\.\*' the flavor 'slow'"):
        connection.channel()
