"""The controller of pools."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from kombu_pool.codec import decode
from kombu_pool.drivers import pool_validation
from kombu_pool.drivers.mongodb.control.registry import StoredPool
from kombu_pool.drivers.mongodb.control.tables import CATALOGUE
from kombu_pool.errors import (
    PoolAlreadyExists,
    PoolDoesNotExist,
    PoolInUse,
    PoolInUseByFlavor,
)
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import PoolsController as Contract
from kombu_pool.storage.policy import write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kombu_pool.drivers.mongodb.control.registry import Records, Registry
    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.model import Flavor, Pool


class PoolsController(Contract):
    """Pools in the registry."""

    def __init__(self, tables: Tables, registry: Registry) -> None:
        self._tables = tables
        self._registry = registry

    def list(self, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False) -> Iterator[Any]:
        pools = self._registry.read().pools
        names = sorted(name for name in pools if not marker or name > marker)
        return page(
            [_to_pool(name, pools[name], detailed) for name in names[: limit or None]], lambda pool: pool["name"]
        )

    def create(
        self, name: str, weight: int, uri: str, flavor: str | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        pool_validation.check_weight(weight)
        pool = StoredPool(uri, weight, flavor or None, write(dict(options or {})))
        self._registry.change(lambda records: _put(records, name, pool))

    def get(self, name: str, detailed: bool = False) -> Pool:
        return _to_pool(name, _require(self._registry.read(), name), detailed)

    def get_pools_by_flavor(self, flavor: Flavor | None = None, detailed: bool = False) -> Sequence[Pool]:
        wanted = flavor["name"] if flavor else None
        pools = self._registry.read().pools
        return [_to_pool(name, pools[name], detailed) for name in sorted(pools) if pools[name].flavor == wanted]

    def exists(self, name: str) -> bool:
        return name in self._registry.read().pools

    def update(self, name: str, **kwargs: Any) -> None:
        changes = pool_validation.pool_changes(kwargs)
        if "options" in changes:
            changes["options"] = write(dict(changes["options"]))
        self._registry.change(lambda records: _put(records, name, _require(records, name)._replace(**changes)))

    def delete(self, name: str) -> None:
        """Delete a pool in three steps, as no transaction spans the registry and the catalogue.

        It is marked as leaving, its queues in the catalogue are counted, and it is deleted if the mark is still there.
        An assignment of a queue stores the entry, then reads the pool and removes its mark: so one sees the other.
        """
        mark = self._registry.change(lambda records: _mark(records, name))
        if mark is None:
            return
        with self._tables.client.translated():
            queues = self._tables[CATALOGUE].count_documents({"$or": [{"o": name}, {"w": name}]})
        refusal = self._registry.change(lambda records: _delete(records, name, mark, queues))
        if refusal is not None:
            raise refusal

    def drop_all(self) -> None:
        self._registry.change(lambda records: records.pools.clear())


def _require(records: Records, name: str) -> StoredPool:
    pool = records.pools.get(name)
    if pool is None:
        raise PoolDoesNotExist(name)
    return pool


def _put(records: Records, name: str, pool: StoredPool) -> None:
    required = [decode(names) for names in records.capabilities_of(pool.flavor)]
    pool_validation.require_capabilities(name, pool.flavor, required, pool_validation.capability_names(pool.uri))
    for other, its in records.pools.items():
        if its.uri == pool.uri and other != name:
            raise PoolAlreadyExists(other)
    records.pools[name] = pool


def _mark(records: Records, name: str) -> str | None:
    """Mark a pool that is about to be deleted and return the mark; None if there is no such pool.

    A simultaneous deletion, or one whose process died, shares the mark: it means that no queue was assigned since.
    """
    pool = records.pools.get(name)
    if pool is None:
        return None
    mark = pool.leaving or secrets.token_hex(8)
    records.pools[name] = pool._replace(leaving=mark)
    return mark


def _delete(records: Records, name: str, mark: str, queues: int) -> Exception | None:
    """Delete a pool that is still marked, or return the error that prevents it."""
    pool = records.pools.get(name)
    if pool is None:
        return None
    if pool.leaving != mark:
        return PoolInUse(name, max(queues, 1))
    records.pools[name] = pool._replace(leaving=None)
    if queues:
        return PoolInUse(name, queues)
    if records.is_last_of(pool.flavor):
        return PoolInUseByFlavor(name, pool.flavor)
    del records.pools[name]
    return None


def _to_pool(name: str, pool: StoredPool, detailed: bool) -> Pool:
    return pool_validation.pool_view(name, *pool[:4], detailed=detailed)
