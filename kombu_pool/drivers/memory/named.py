"""The stores of this process by name, and what a fork does to them."""

from __future__ import annotations

import os
import threading

from kombu_pool.drivers.memory.registry import ControlStore
from kombu_pool.drivers.memory.store import DataStore

_lock = threading.Lock()
_data: dict[str, DataStore] = {}
_control: dict[str, ControlStore] = {}


def data_store(name: str) -> DataStore:
    """Return the message store of that name, a new one if there is none."""
    with _lock:
        return _data.setdefault(name, DataStore())


def control_store(name: str) -> ControlStore:
    """Return the control store of that name, a new one if there is none."""
    with _lock:
        return _control.setdefault(name, ControlStore())


def _locks() -> list[threading.RLock]:
    return [*(store.lock for store in _data.values()), *(store.lock for store in _control.values())]


def _hold_all() -> None:
    _lock.acquire()
    for lock in _locks():
        lock.acquire()


def _let_go() -> None:
    for lock in _locks():
        lock.release()
    _lock.release()


# A fork while another thread is inside a store would leave the child a lock that nobody can release, and half a change.
os.register_at_fork(before=_hold_all, after_in_parent=_let_go, after_in_child=_let_go)
