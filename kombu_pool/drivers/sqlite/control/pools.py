"""The pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers import pool_validation
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import (
    PoolAlreadyExists,
    PoolDoesNotExist,
    PoolInUse,
    PoolInUseByFlavor,
)
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import PoolsController as Contract
from kombu_pool.storage.policy import read, write

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.model import Flavor, Pool

_SQL = statements("pools")
_FIELDS = ("name", "uri", "weight", "flavor", "options")


class PoolsController(Contract):
    """Pools in a table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False) -> Iterator[Any]:
        rows = self._database.rows(_SQL["page"], (marker or "", marker or None, limit or -1))
        return page([_view(row, detailed) for row in rows], lambda pool: pool["name"])

    def create(
        self, name: str, weight: int, uri: str, flavor: str | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        pool_validation.check_weight(weight)
        can, stored = pool_validation.capability_names(uri), write(dict(options or {}))
        with self._database.write as connection:
            _put(connection, (name, uri, weight, flavor or None, stored), can)

    def get(self, name: str, detailed: bool = False) -> Pool:
        row = self._database.row(_SQL["one"], (name,))
        if row is None:
            raise PoolDoesNotExist(name)
        return _view(row, detailed)

    def get_pools_by_flavor(self, flavor: Flavor | None = None, detailed: bool = False) -> Sequence[Pool]:
        rows = self._database.rows(_SQL["of_flavor"], (flavor["name"] if flavor else None,))
        return [_view(row, detailed) for row in rows]

    def exists(self, name: str) -> bool:
        return self._database.row(_SQL["one"], (name,)) is not None

    def update(self, name: str, **kwargs: Any) -> None:
        changes = pool_validation.pool_changes(kwargs)
        if "options" in changes:
            changes["options"] = write(dict(changes["options"]))
        with self._database.write as connection:
            row = connection.execute(_SQL["one"], (name,)).fetchone()
            if row is None:
                raise PoolDoesNotExist(name)
            pool = tuple(changes.get(field, value) for field, value in zip(_FIELDS, row, strict=True))
            _put(connection, pool, pool_validation.capability_names(pool[1]))

    def delete(self, name: str) -> None:
        with self._database.write as connection:
            row = connection.execute(_SQL["one"], (name,)).fetchone()
            if row is None:
                return
            queues = connection.execute(_SQL["queues"], (name,)).fetchone()[0]
            if queues:
                raise PoolInUse(name, queues)
            if row[3] is not None and _is_last_of(connection, row[3]):
                raise PoolInUseByFlavor(name, row[3])
            connection.execute(_SQL["delete"], (name,))

    def drop_all(self) -> None:
        with self._database.write as connection:
            connection.execute(_SQL["drop_all"])


def _put(connection: sqlite3.Connection, pool: tuple[Any, ...], can: set[str]) -> None:
    name, uri, _, flavor, _ = pool
    promises = connection.execute(_SQL["required_capabilities"], (flavor,)).fetchall()
    pool_validation.require_capabilities(name, flavor, [read(stored) for (stored,) in promises], can)
    other = connection.execute(_SQL["other_with_uri"], (uri, name)).fetchone()
    if other is not None:
        raise PoolAlreadyExists(other[0])
    connection.execute(_SQL["put"], pool)


def _is_last_of(connection: sqlite3.Connection, flavor: str) -> bool:
    exists = connection.execute(_SQL["required_capabilities"], (flavor,)).fetchone() is not None
    return exists and len(connection.execute(_SQL["of_flavor"], (flavor,)).fetchall()) == 1


def _view(row: Any, detailed: bool) -> Pool:
    return pool_validation.pool_view(*row, detailed=detailed)
