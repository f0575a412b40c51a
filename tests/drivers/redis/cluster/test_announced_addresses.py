"""Nodes that announce no address, or one that cannot be reached, as behind NAT and in Kubernetes."""

from __future__ import annotations

from contextlib import closing

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.redis.cluster_client import ClusterClient
from kombu_pool.drivers.redis.cluster_slots import slot_of
from kombu_pool.drivers.redis.location import locate
from tests.support.redis.cluster_keys import APPEND, keys_of, other_than, owner_of
from tests.support.servers.ports import free_port
from tests.support.servers.redis_cluster import Cluster
from tests.support.servers.waiting import first_answer

KEYS = [keys_of(number)[0] for number in range(12)]


@pytest.fixture(scope="module")
def announcing():
    """A cluster that listens at two addresses of this machine."""
    with Cluster(bind="127.0.0.1 127.0.0.2") as cluster:
        yield cluster


def client_of(uri, **options):
    return closing(ClusterClient(locate(drivers.parse(uri), options, None)))


@pytest.mark.parametrize("kind", ["hostname", "unknown-endpoint"])
def test_nodes_that_announce_no_name_are_reached(cluster, kind):
    for node in cluster.nodes:
        try:
            node.ask("CONFIG", "SET", "cluster-preferred-endpoint-type", kind)
        except Exception as error:  # noqa: BLE001 - any refusal
            pytest.skip(f"a server before Redis 7.0: {error}")
    with client_of(cluster.uri()) as client:
        for key in KEYS:
            assert client.call(APPEND, [key], "a") == b"a"

        cluster.move(slot_of(KEYS[0]), other_than(cluster, owner_of(cluster, KEYS[0])))

        for key in KEYS:
            assert client.call(APPEND, [key], "b") == b"ab"
    for node in cluster.nodes:
        node.ask("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")


def test_addresses_that_cannot_be_reached_are_mapped(announcing):
    nodes = announcing.nodes
    announced = {free_port(): node for node in nodes}
    for port, node in announced.items():
        node.ask("CONFIG", "SET", "cluster-announce-ip", "127.0.0.2")
        node.ask("CONFIG", "SET", "cluster-announce-port", port)
    known = {f"127.0.0.2:{port}": node.address for port, node in announced.items()}
    first_answer(lambda: all(known.keys() == addresses_of(node) for node in nodes))

    with client_of(f"redis+cluster://{nodes[0].address}", address_map=known) as client:
        assert [client.call(APPEND, [key], "a") for key in KEYS] == [b"a"] * len(KEYS)
    with (
        client_of(f"redis+cluster://{nodes[0].address}") as client,
        pytest.raises(errors.ConnectionError, match=r"127\.0\.0\.2"),
    ):
        client.call(APPEND, KEYS[:1], "a")


def addresses_of(node):
    return {f"{master[0].decode()}:{master[1]}" for _, _, master, *_ in node.ask("CLUSTER SLOTS")}
