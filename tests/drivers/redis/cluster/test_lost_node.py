"""A node of a cluster that is away concerns its own queues only, as a pool that is down does."""

from __future__ import annotations

import itertools
import logging
import time

import pytest
from kombu import Connection, Producer, Queue

from kombu_pool import drivers, errors
from tests.support.redis.cluster_keys import owner_of
from tests.support.servers.redis_cluster import Cluster
from tests.support.transport.traffic import consume, eventually

#: Seconds. A round of renewals that finds the node lost takes half a second, and a loaded machine delays it further.
CLAIM_TTL = 6.0
_prefixes = itertools.count()


@pytest.fixture(scope="module")
def servers():
    """A cluster that goes on without one of its nodes."""
    with Cluster(cluster_require_full_coverage="no") as cluster:
        yield cluster


@pytest.fixture
def uri(servers):
    for node in servers.nodes:
        if not node.runs:
            node.restart()
    servers.wait_until_ready()
    return f"{servers.uri()}?key_prefix=lost{next(_prefixes)}"


@pytest.fixture
def lost(servers, uri):
    """A node that holds nothing that all queues need."""
    control, store = owner_of(servers, "{control}"), owner_of(servers, "{store}")
    return next(node for node in servers.nodes if node not in (control, store))


@pytest.fixture
def names(servers, lost):
    """The name of a queue on the node that is lost, and of one on each other node."""
    found = {}
    for number in range(99):
        found.setdefault(owner_of(servers, f"{{/q{number}}}").port, f"q{number}")
    return [found.pop(lost.port), *found.values()]


@pytest.fixture
def connection(uri, names):
    with Connection(f"pool+{uri}", transport_options={"claim_ttl": CLAIM_TTL}) as connection:
        for name in names:
            Queue(name)(connection.default_channel).declare()
        yield connection


def publish(connection, *queues):
    for queue in queues:
        Producer(connection.default_channel).publish(queue, routing_key=queue)


def test_what_lives_elsewhere_is_published_consumed_and_settled(connection, names, lost, caplog):
    inboxes = {name: consume(connection.channel(), name, ack=True) for name in names}
    publish(connection, *names)
    for inbox in inboxes.values():
        inbox.wait_for(1)

    lost.kill()

    for count in (2, 3, 4):
        publish(connection, *names[1:])
        for name in names[1:]:
            inboxes[name].wait_for(count)
        with pytest.raises(
            errors.PoolPartUnavailable, match=rf"Part '{lost.address}' of pool 'default' is unreachable"
        ):
            publish(connection, names[0])
    lines = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1
    assert f"node {lost.address} is unreachable" in lines[0]


def test_claims_of_other_nodes_are_renewed(connection, names, lost, uri):
    held = [consume(connection.channel(), name) for name in names]
    publish(connection, *names)
    for inbox in held:
        inbox.wait_for(1)

    lost.kill()
    begun = time.monotonic()
    with Connection(f"pool+{uri}", transport_options={"claim_ttl": CLAIM_TTL}) as other:
        thieves = [consume(other.channel(), name) for name in names[1:]]
        eventually(lambda: time.monotonic() - begun > 1.5 * CLAIM_TTL)
        for thief in thieves:
            thief.expect_no_more()

    for inbox in held[1:]:
        inbox.messages[0].ack()
    eventually(lambda: [connection.default_channel.basic_get(name) for name in names[1:]] == [None, None])


def test_a_node_that_returns_is_served_again(connection, names, lost, servers):
    inbox, _, _ = [consume(connection.channel(), name, ack=True) for name in names]
    lost.kill()
    with pytest.raises(errors.PoolPartUnavailable):
        publish(connection, names[0])

    lost.restart()
    servers.wait_until_ready()
    Producer(connection.default_channel).publish("a", routing_key=names[0], retry=True)

    inbox.wait_for(1)


def test_the_maintenance_of_other_nodes_goes_on(uri, names, lost, servers):
    driver = drivers.open_data(uri)
    for name in names:
        driver.queue_controller.create(name, {"_dead_letter_queue": name, "_dead_letter_expired": True})
        driver.message_controller.post(name, [{"ttl": 0.05, "body": name}], None)
    time.sleep(0.1)

    lost.kill()

    assert driver.dead_letter_all() == 2
    driver.gc()
    assert driver.part_of(names[0]) == lost.address
    assert {driver.part_of(name) for name in names[1:]} <= {node.address for node in servers.nodes}
    driver.close()
