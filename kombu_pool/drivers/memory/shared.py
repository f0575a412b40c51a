"""The stores of this process by name, and their locks across a fork."""

from __future__ import annotations

import os
import secrets
import threading

from kombu_pool.drivers.memory.control.store import ControlStore
from kombu_pool.drivers.memory.store import DataStore

_lock = threading.Lock()
_identities: dict[str, str] = {}
_data: dict[str, DataStore] = {}
_control: dict[str, ControlStore] = {}


def data_store(name: str) -> DataStore:
    """Return the message store of that name; create it if it is absent."""
    with _lock:
        return _data.setdefault(name, DataStore(_identity(name)))


def control_store(name: str) -> ControlStore:
    """Return the control store of that name; create it if it is absent."""
    with _lock:
        return _control.setdefault(name, ControlStore(_identity(name)))


def _identity(name: str) -> str:
    return _identities.setdefault(name, secrets.token_hex(16))


def _locks() -> list[threading.RLock]:
    return [*(store.lock for store in _data.values()), *(store.lock for store in _control.values())]


def _acquire_all() -> None:
    _lock.acquire()
    for lock in _locks():
        lock.acquire()


def _release_all() -> None:
    for lock in _locks():
        lock.release()
    _lock.release()


# A fork while another thread is inside a store would leave the child a lock held for ever, and half a change.
os.register_at_fork(before=_acquire_all, after_in_parent=_release_all, after_in_child=_release_all)
