"""The links of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.client import Link
from kombu_pool.drivers.shared_connections import SharedConnections

if TYPE_CHECKING:
    from kombu_pool.drivers.redis.location import Location


def _open(location: Location) -> Link:
    if location.is_cluster:
        # Only who needs it pays for what redis-py knows of clusters.
        from kombu_pool.drivers.redis.cluster_client import ClusterLink  # noqa: PLC0415

        return ClusterLink(location)
    return Link(location)


_shared: SharedConnections[Location, Link] = SharedConnections(_open, lambda link: link.location)
acquire = _shared.acquire
release = _shared.release
