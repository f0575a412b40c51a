"""Private Redis clusters."""

from __future__ import annotations

import pytest

from tests.support.servers.redis_cluster import SLOTS, Cluster


@pytest.fixture(scope="module")
def cluster():
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def slot(cluster):
    return cluster.slot_of("key")


@pytest.fixture
def other(cluster, slot):
    """A node that does not own the slot."""
    return next(node for node in cluster.nodes if node is not cluster.owner(slot))


def test_every_slot_has_a_node(cluster):
    for node in cluster.nodes:
        info = node.ask("CLUSTER INFO")
        assert info["cluster_state"] == "ok"
        assert int(info["cluster_slots_assigned"]) == SLOTS
    assert len({cluster.owner(slot) for slot in (0, SLOTS // 2, SLOTS - 1)}) == 3


def test_its_uri_names_all_nodes(cluster):
    assert cluster.uri() == "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes)


def test_a_slot_moves_with_its_keys(cluster, slot, other):
    client = cluster.client()
    client.set("key", "value")

    cluster.move(slot, other)

    assert cluster.owner(slot) is other
    assert other.ask("GET", "key") == b"value"
    assert client.get("key") == b"value"


def test_a_moving_slot_has_its_old_keys_here_and_its_new_ones_there(cluster, slot, other):
    client = cluster.client()
    client.set("key", "old")
    source = cluster.owner(slot)

    with cluster.moving(slot, other):
        client.set("{key}new", "new")
        counts = [node.ask("CLUSTER COUNTKEYSINSLOT", slot) for node in (source, other)]

    assert counts == [1, 1]
    assert other.ask("CLUSTER COUNTKEYSINSLOT", slot) == 2


def test_a_node_that_was_killed_comes_back(cluster):
    node = cluster.nodes[0]
    node.kill()

    node.restart()
    cluster.wait_until_ready()

    assert cluster.owner(0) is node
