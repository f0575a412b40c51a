"""The control store in a Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.links import acquire, release
from kombu_pool.storage import ControlDriver as Contract

if TYPE_CHECKING:
    from kombu_pool.clock import Clock
    from kombu_pool.drivers.redis.location import Location


class ControlDriver(Contract):
    """The control plane in one Redis, which may hold messages too."""

    def __init__(self, uri: str, location: Location, clock: Clock) -> None:
        self._link = acquire(location)
        self._closed = False
        self.uri = uri

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            release(self._link)
