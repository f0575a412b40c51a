from __future__ import annotations

import pytest

from kombu_pool import drivers
from kombu_pool.drivers.redis.cluster_client import ClusterLink
from kombu_pool.drivers.redis.location import locate
from tests.support.servers.redis_cluster import Cluster


@pytest.fixture(scope="session")
def servers():
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(servers):
    """Three nodes that are all up, and empty."""
    for node in servers.nodes:
        if not node.runs:
            node.restart()
    servers.wait_until_ready()
    for node in servers.nodes:
        node.ask("FLUSHALL")
    return servers


@pytest.fixture
def open_link(cluster):
    opened = []

    def make(**options):
        opened.append(ClusterLink(locate(drivers.parse(cluster.uri()), options, None)))
        return opened[-1]

    yield make
    for link in opened:
        link.close()


@pytest.fixture
def link(open_link):
    return open_link()
