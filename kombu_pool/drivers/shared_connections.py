"""Connections that the drivers of this process share, when they were opened with the same settings."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

L = TypeVar("L", bound="Hashable")


class Closable(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Close it."""


T = TypeVar("T", bound=Closable)


class SharedConnections(Generic[L, T]):
    """What is open, each with its location and the number of its users. A location must compare as its settings do."""

    def __init__(self, open_at: Callable[[L], T], location_of: Callable[[T], L]) -> None:
        self._open_at = open_at
        self._location_of = location_of
        self._open: dict[L, tuple[T, int]] = {}
        self.renew_lock()
        _living.add(self)

    def renew_lock(self) -> None:
        """Replace the lock, which a thread of the parent process may have held at the fork."""
        self._lock = threading.Lock()

    def acquire(self, location: L) -> T:
        """Return what is open at a location, for :meth:`release` to give back."""
        with self._lock:
            found, users = self._open.get(location) or (self._open_at(location), 0)
            self._open[location] = found, users + 1
            return found

    def release(self, given: T) -> None:
        """Close what was given unless somebody else uses it."""
        location = self._location_of(given)
        with self._lock:
            found, users = self._open.get(location, (None, 0))
            if found is given and users > 1:
                self._open[location] = given, users - 1
                return
            if found is given:
                del self._open[location]
        given.close()


_living: weakref.WeakSet[SharedConnections[Any, Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for shared in list(_living):
        shared.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
