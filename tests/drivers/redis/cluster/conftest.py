from __future__ import annotations

import pytest

from kombu_pool import drivers
from kombu_pool.drivers.redis.cluster_client import ClusterClient
from kombu_pool.drivers.redis.location import locate
from tests.support.servers.redis_cluster import Cluster


@pytest.fixture(scope="session")
def servers():
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(servers):
    """Three running, empty nodes."""
    for node in servers.nodes:
        if not node.runs:
            node.restart()
    servers.wait_until_ready()
    for node in servers.nodes:
        node.ask("FLUSHALL")
    return servers


@pytest.fixture
def open_client(cluster):
    opened = []

    def make(**options):
        opened.append(ClusterClient(locate(drivers.parse(cluster.uri()), options, None)))
        return opened[-1]

    yield make
    for redis_client in opened:
        redis_client.close()


@pytest.fixture
def redis_client(open_client):
    return open_client()
