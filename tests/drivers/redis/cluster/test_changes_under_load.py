"""A cluster that changes under load: each of its masters is replaced, and each of its slots moves."""

from __future__ import annotations

import itertools
import sys

import pytest

from tests.support.chaos.scale import is_full
from tests.support.limits import LONG_TEST
from tests.support.redis.cluster_load import ClusterLoad
from tests.support.servers.redis_cluster import Cluster
from tests.support.servers.redis_replicas import ReplicatedCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_TEST)]

#: The longest time without a confirmed publish, in seconds. A failover takes a tenth of it on an idle machine.
LONGEST_GAP = 5.0
#: Messages that are confirmed while masters are replaced, and while slots move.
MESSAGES = 2_000, 3_000


def test_the_failover_of_all_masters_loses_nothing():
    with ReplicatedCluster() as cluster:
        with ClusterLoad(f"pool+{cluster.uri()}") as load:
            for number, replica in enumerate(cluster.replicas, 1):
                load.wait_for(500 * number)
                cluster.fail_over(replica)
            load.wait_for(MESSAGES[0])

        check(load, "failover of three masters", MESSAGES[0])


@pytest.mark.skipif(not is_full(), reason="the nodes of a busy machine disagree for long: KOMBU_POOL_CHAOS=yes runs it")
def test_the_move_of_all_keys_from_node_to_node_loses_nothing():
    with Cluster() as cluster:
        with ClusterLoad(f"pool+{cluster.uri()}") as load:
            moved = 0
            while len(load.confirmed) < MESSAGES[1]:
                moved += move_all_keys(cluster)

        check(load, f"{moved} moves of slots", MESSAGES[1])


def move_all_keys(cluster):
    """Move each slot that has keys to the next node; return their number."""
    after = dict(itertools.pairwise([*cluster.nodes, cluster.nodes[0]]))
    slots = {cluster.slot_of(key): node for node in cluster.nodes for key in node.ask("KEYS", "*")}
    for slot, node in slots.items():
        cluster.move(slot, after[node])
    return len(slots)


def check(load, change, least):
    """Compare what is in the queues with what was confirmed."""
    consumed = load.consumed()
    lost = set(load.confirmed) - set(consumed)
    count = len(load.confirmed)
    sys.stderr.write(f"{change}: {count} confirmed, {len(lost)} lost, longest gap {load.longest_gap:.2f} s\n")

    assert count >= least
    assert lost == set()
    assert len(consumed) == len(set(consumed))
    assert load.longest_gap < LONGEST_GAP
