"""The clients of this process, shared by the drivers that were opened with the same settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.client import Client
from kombu_pool.drivers.shared_connections import SharedConnections

if TYPE_CHECKING:
    from kombu_pool.drivers.redis.location import Location


def _open(location: Location) -> Client:
    if location.is_cluster:
        # Imported on demand: it loads what redis-py knows of clusters.
        from kombu_pool.drivers.redis.cluster_client import ClusterClient  # noqa: PLC0415

        return ClusterClient(location)
    return Client(location)


_shared: SharedConnections[Location, Client] = SharedConnections(_open, lambda client: client.location)
acquire = _shared.acquire
release = _shared.release


def is_created(location: Location) -> bool:
    """Return whether the location has a store, of whatever layout version."""
    client = acquire(location)
    try:
        return client.has_layout()
    finally:
        release(client)
