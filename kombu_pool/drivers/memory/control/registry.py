"""The pools and flavors, as one immutable object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.registry import Records
from kombu_pool.drivers.registry import Registry as Contract
from kombu_pool.errors import PoolInUse

if TYPE_CHECKING:
    from kombu_pool.drivers.memory.control.store import ControlStore


class Registry(Contract[Records]):
    """The records; they are their own version."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def read(self) -> tuple[Records, Records]:
        return self._store.records, self._store.records

    def replace(self, records: Records, version: Records, unused: str | None = None) -> bool:
        with self._store.lock:
            if self._store.records is not version:
                return False
            if unused is not None:
                self.require_unused(unused)
            self._store.records = records
            return True

    def require_unused(self, name: str) -> None:
        with self._store.lock:
            queues = sum(name in life.pools for life in self._store.catalogue.values())
            if queues:
                raise PoolInUse(name, queues)
