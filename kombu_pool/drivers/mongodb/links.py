"""The links of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.mongodb.link import Link
from kombu_pool.drivers.shared_connections import SharedConnections

if TYPE_CHECKING:
    from kombu_pool.drivers.mongodb.location import Location

_shared: SharedConnections[Location, Link] = SharedConnections(Link, lambda link: link.location)
acquire = _shared.acquire
release = _shared.release
