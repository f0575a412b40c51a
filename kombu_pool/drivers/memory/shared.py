"""The stores of this process by name, and their locks across a fork."""

from __future__ import annotations

import os
import secrets
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool import conf as settings
from kombu_pool.drivers.memory.control.store import ControlStore
from kombu_pool.drivers.memory.store import DataStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.drivers.uri import StoreUri


@dataclass(frozen=True)
class Location:
    """The name of a store, and its settings."""

    name: str
    max_message_size: int
    enable_checksum: bool


def locate(uri: StoreUri, options: Mapping[str, Any], conf: Any) -> Location:
    """Return the location of a URI; ``options`` take precedence over those of the URI.

    Raises:
        ConfigurationError: an option is invalid.
    """
    given = {**uri.options, **options}
    values = settings.options(settings.MEMORY, given, where=str(uri), conf=conf, group=settings.MEMORY_GROUP)
    return Location(name_of(uri), **values)


def name_of(uri: StoreUri) -> str:
    """Return the name of the store in this process."""
    return uri.authority + uri.path.rstrip("/")


def is_created_at(location: Location) -> bool:
    """Return whether this process has used the store."""
    return location.name in _stores


class _Stores(NamedTuple):
    data: DataStore
    control: ControlStore


_lock = threading.Lock()
_stores: dict[str, _Stores] = {}


def data_store(name: str) -> DataStore:
    """Return the message store of that name; create it if it is absent."""
    return _get(name).data


def control_store(name: str) -> ControlStore:
    """Return the control store of that name; create it if it is absent."""
    return _get(name).control


def _get(name: str) -> _Stores:
    with _lock:
        if name not in _stores:
            identity = secrets.token_hex(16)
            _stores[name] = _Stores(DataStore(identity), ControlStore(identity))
        return _stores[name]


def _acquire_all() -> None:
    _lock.acquire()
    for store in _stores.values():
        store.data.lock.acquire()
        store.control.lock.acquire()


def _release_all() -> None:
    for store in _stores.values():
        store.data.lock.release()
        store.control.lock.release()
    _lock.release()


# A fork while another thread is inside a store would leave the child a lock held for ever, and half a change.
os.register_at_fork(before=_acquire_all, after_in_parent=_release_all, after_in_child=_release_all)
