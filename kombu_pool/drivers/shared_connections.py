"""Connections that drivers of this process share if they were opened with the same settings."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Location = TypeVar("Location", bound="Hashable")


class Closable(Protocol):
    """A resource that can be closed."""

    def close(self) -> None:
        """Close the resource."""


Resource = TypeVar("Resource", bound=Closable)


class Lockable(Protocol):
    """The owner of locks."""

    def renew_lock(self) -> None:
        """Replace the locks: a thread of the parent process may have held them at the fork."""


_lockables: weakref.WeakSet[Lockable] = weakref.WeakSet()


def renew_in_children(owner: Lockable) -> None:
    """Have the owner renew its locks in each process that is forked from now on."""
    _lockables.add(owner)


def _after_fork() -> None:
    for owner in list(_lockables):
        owner.renew_lock()


os.register_at_fork(after_in_child=_after_fork)


class SharedConnections(Generic[Location, Resource]):
    """Open connections by location, with their number of users. Equal locations must have equal settings."""

    def __init__(self, open_at: Callable[[Location], Resource], location_of: Callable[[Resource], Location]) -> None:
        self._open_at = open_at
        self._location_of = location_of
        self._open: dict[Location, tuple[Resource, int]] = {}
        self.renew_lock()
        renew_in_children(self)

    def renew_lock(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, location: Location) -> Resource:
        """Return the connection to a location; open it if it is absent. :meth:`release` gives it back."""
        with self._lock:
            found, users = self._open.get(location) or (self._open_at(location), 0)
            self._open[location] = found, users + 1
            return found

    def release(self, connection: Resource) -> None:
        """Close the connection unless it has another user."""
        location = self._location_of(connection)
        with self._lock:
            found, users = self._open.get(location, (None, 0))
            if found is connection and users > 1:
                self._open[location] = connection, users - 1
                return
            if found is connection:
                del self._open[location]
        connection.close()
