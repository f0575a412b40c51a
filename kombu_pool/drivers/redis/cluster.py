"""The link to a Redis Cluster: redis-py's client follows the slots, and reconnects to their nodes."""

from __future__ import annotations

from kombu_pool.drivers.redis.link import Link


class ClusterLink(Link):
    """Runs scripts and commands on the node that has their keys."""

    is_cluster = True
