"""The message store in a Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.model import Capabilities
from kombu_pool.storage import DataDriver as Contract

if TYPE_CHECKING:
    from kombu_pool.clock import Clock
    from kombu_pool.drivers.redis.location import Location

CAPABILITIES = tuple(Capabilities)


class DataDriver(Contract):
    """Messages in one Redis."""

    capabilities = CAPABILITIES

    def __init__(self, location: Location, clock: Clock) -> None: ...
