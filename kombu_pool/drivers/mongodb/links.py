"""The links of this process, each shared by the drivers that were opened with the same settings."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from kombu_pool.drivers.mongodb.link import Link

if TYPE_CHECKING:
    from kombu_pool.drivers.mongodb.location import Location


class _Shared:
    def __init__(self) -> None:
        self._links: dict[Location, tuple[Link, int]] = {}
        self.renew_lock()

    def renew_lock(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, location: Location) -> Link:
        """Return the link to a MongoDB, for :meth:`release` to give back."""
        with self._lock:
            link, users = self._links.get(location) or (Link(location), 0)
            self._links[location] = link, users + 1
            return link

    def release(self, link: Link) -> None:
        """Close the link unless somebody else uses it."""
        with self._lock:
            found, users = self._links.get(link.location, (None, 0))
            if found is link and users > 1:
                self._links[link.location] = link, users - 1
                return
            if found is link:
                del self._links[link.location]
        link.close()


_shared = _Shared()
acquire = _shared.acquire
release = _shared.release

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.renew_lock)
