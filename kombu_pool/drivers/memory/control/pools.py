"""The pools."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers import pool_validation
from kombu_pool.drivers.memory.codec import encode_mapping
from kombu_pool.drivers.memory.control.store import StoredPool
from kombu_pool.errors import (
    PoolAlreadyExists,
    PoolDoesNotExist,
    PoolInUse,
    PoolInUseByFlavor,
)
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import PoolsController as Contract

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kombu_pool.drivers.memory.control.store import ControlStore
    from kombu_pool.model import Flavor, Pool


class PoolsController(Contract):
    """Pools, in a dictionary."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def list(self, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False) -> Iterator[Any]:
        with self._store.lock:
            names = sorted(name for name in self._store.pools if not marker or name > marker)
            views = [_view(self._store.pools[name], detailed) for name in names[: limit or None]]
        return page(views, lambda pool: pool["name"])

    def create(
        self, name: str, weight: int, uri: str, flavor: str | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        pool_validation.check_weight(weight)
        self._put(StoredPool(name, weight, uri, flavor or None, encode_mapping(options)))

    def get(self, name: str, detailed: bool = False) -> Pool:
        with self._store.lock:
            return _view(self._require(name), detailed)

    def get_pools_by_flavor(self, flavor: Flavor | None = None, detailed: bool = False) -> Sequence[Pool]:
        wanted = flavor["name"] if flavor else None
        with self._store.lock:
            names = sorted(pool.name for pool in self._store.pools.values() if pool.flavor == wanted)
            return [_view(self._store.pools[name], detailed) for name in names]

    def exists(self, name: str) -> bool:
        return name in self._store.pools

    def update(self, name: str, **kwargs: Any) -> None:
        changes = pool_validation.pool_changes(kwargs)
        if "options" in changes:
            changes["options"] = encode_mapping(changes["options"])
        with self._store.lock:
            self._put(replace(self._require(name), **changes))

    def delete(self, name: str) -> None:
        with self._store.lock:
            pool = self._store.pools.get(name)
            if pool is None:
                return
            queues = sum(assigned == name for assigned in self._store.catalogue.values())
            if queues:
                raise PoolInUse(name, queues)
            if pool.flavor is not None and self._is_last_of(pool.flavor):
                raise PoolInUseByFlavor(name, pool.flavor)
            del self._store.pools[name]

    def drop_all(self) -> None:
        with self._store.lock:
            self._store.pools.clear()

    def _require(self, name: str) -> StoredPool:
        pool = self._store.pools.get(name)
        if pool is None:
            raise PoolDoesNotExist(name)
        return pool

    def _put(self, pool: StoredPool) -> None:
        offered = pool_validation.capability_names(pool.uri)
        with self._store.lock:
            required = [names for (_, flavor), names in self._store.flavors.items() if flavor == pool.flavor]
            pool_validation.require_capabilities(pool.name, pool.flavor, required, offered)
            for other in self._store.pools.values():
                if other.uri == pool.uri and other.name != pool.name:
                    raise PoolAlreadyExists(other.name)
            self._store.pools[pool.name] = pool

    def _is_last_of(self, flavor: str) -> bool:
        exists = any(name == flavor for _, name in self._store.flavors)
        return exists and sum(pool.flavor == flavor for pool in self._store.pools.values()) == 1


def _view(pool: StoredPool, detailed: bool) -> Pool:
    return pool_validation.pool_view(pool.name, pool.uri, pool.weight, pool.flavor, pool.options, detailed=detailed)
