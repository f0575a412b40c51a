"""The controller of pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool.drivers import pool_validation
from kombu_pool.drivers.redis.control.catalogue import queues_key
from kombu_pool.drivers.redis.control.flavors import projects_key
from kombu_pool.drivers.redis.control.key_encoding import SEPARATOR, member, name_of, scope_of, stored_name
from kombu_pool.drivers.redis.control.tables import Table
from kombu_pool.drivers.redis.keys import control_key
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import (
    PoolAlreadyExists,
    PoolCapabilitiesMismatch,
    PoolDoesNotExist,
    PoolInUse,
    PoolInUseByFlavor,
)
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import PoolsController as Contract
from kombu_pool.storage.policy import write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kombu_pool.drivers.redis.client import Client
    from kombu_pool.model import Flavor, Pool

_PUT = script("control/put_pool", repeatable=True)
_DELETE = script("control/delete_pool", repeatable=True)


class StoredPool(NamedTuple):
    """A pool as it is stored, with its options encoded."""

    uri: str
    weight: int
    flavor: str | None
    options: bytes

    @classmethod
    def of(cls, record: bytes) -> StoredPool:
        """Return the pool of a record; the scripts read records too."""
        uri, weight, flavor, options = record.split(SEPARATOR, 3)
        return cls(name_of(uri), int(weight), name_of(flavor) or None, options)

    def record(self) -> bytes:
        """Return the record: its parts, with a NUL between them."""
        parts = (stored_name(self.uri), b"%d" % self.weight, stored_name(self.flavor or ""), self.options)
        return SEPARATOR.join(parts)


class PoolsController(Contract):
    """Pools in a table."""

    def __init__(self, client: Client) -> None:
        prefix = client.location.key_prefix
        self._client = client
        self._table = Table(client, "pools")
        own, flavors = (self._table.records, self._table.names), projects_key(prefix)
        self._put_keys = (*own, control_key(prefix, "flavors"), flavors)
        self._delete_keys = (*own, flavors, queues_key(prefix))

    def list(self, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False) -> Iterator[Any]:
        rows = self._table.rows(None, marker, limit)
        return page([_shown(name, StoredPool.of(record), detailed) for name, record in rows], lambda pool: pool["name"])

    def create(
        self, name: str, weight: int, uri: str, flavor: str | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        pool_validation.check_weight(weight)
        self._put(name, StoredPool(uri, weight, flavor or None, write(dict(options or {}))), b"")

    def get(self, name: str, detailed: bool = False) -> Pool:
        return _shown(name, StoredPool.of(self._require(name)), detailed)

    def get_pools_by_flavor(self, flavor: Flavor | None = None, detailed: bool = False) -> Sequence[Pool]:
        wanted = flavor["name"] if flavor else None
        pools = ((name, StoredPool.of(record)) for name, record in self._table.rows(None))
        return [_shown(name, pool, detailed) for name, pool in pools if pool.flavor == wanted]

    def exists(self, name: str) -> bool:
        return self._table.exists(None, name)

    def update(self, name: str, **kwargs: Any) -> None:
        changes = pool_validation.pool_changes(kwargs)
        if "options" in changes:
            changes["options"] = write(dict(changes["options"]))
        before = self._require(name)
        while not self._put(name, StoredPool.of(before)._replace(**changes), before):
            before = self._require(name)

    def delete(self, name: str) -> None:
        obstacle, value = self._client.call(_DELETE, self._delete_keys, member(None, name))
        if obstacle == b"queues":
            raise PoolInUse(name, int(value))
        if obstacle == b"flavor":
            raise PoolInUseByFlavor(name, name_of(value))

    def drop_all(self) -> None:
        self._table.drop()

    def _require(self, name: str) -> bytes:
        found = self._table.find(None, name)
        if found is None:
            raise PoolDoesNotExist(name)
        return found

    def _put(self, name: str, pool: StoredPool, before: bytes) -> bool:
        """Store the pool if its record still is ``before``, or any for b""; return whether it was."""
        capabilities = sorted(pool_validation.capability_names(pool.uri))
        flavor = stored_name(pool.flavor or "")
        arguments = (member(None, name), pool.record(), stored_name(pool.uri), flavor, before, *capabilities)
        obstacle, *values = self._client.call(_PUT, self._put_keys, *arguments)
        if obstacle == b"lacks":
            raise PoolCapabilitiesMismatch(name, pool.flavor, ", ".join(sorted(value.decode() for value in values)))
        if obstacle == b"taken":
            raise PoolAlreadyExists(scope_of(values[0])[1])
        return bool(obstacle != b"changed")


def _shown(name: str, pool: StoredPool, detailed: bool) -> Pool:
    return pool_validation.pool_view(name, *pool, detailed=detailed)
