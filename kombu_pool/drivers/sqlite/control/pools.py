"""The pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import (
    ConfigurationError,
    PoolAlreadyExists,
    PoolCapabilitiesMismatch,
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
        return page([_shown(row, detailed) for row in rows], lambda pool: pool["name"])

    def create(
        self, name: str, weight: int, uri: str, flavor: str | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        _check_weight(weight)
        can, stored = _capabilities_of(uri), write(dict(options or {}))
        with self._database.write as connection:
            _put(connection, (name, uri, weight, flavor or None, stored), can)

    def get(self, name: str, detailed: bool = False) -> Pool:
        row = self._database.row(_SQL["one"], (name,))
        if row is None:
            raise PoolDoesNotExist(name)
        return _shown(row, detailed)

    def get_pools_by_flavor(self, flavor: Flavor | None = None, detailed: bool = False) -> Sequence[Pool]:
        rows = self._database.rows(_SQL["of_flavor"], (flavor["name"] if flavor else None,))
        return [_shown(row, detailed) for row in rows]

    def exists(self, name: str) -> bool:
        return self._database.row(_SQL["one"], (name,)) is not None

    def update(self, name: str, **kwargs: Any) -> None:
        changes = {key: value for key, value in kwargs.items() if value is not None}
        if not changes or not set(changes) <= set(_FIELDS[1:]):
            raise ConfigurationError(f"a pool can change {', '.join(_FIELDS[1:])}; given: {sorted(changes)}")
        if "options" in changes:
            changes["options"] = write(dict(changes["options"]))
        if "flavor" in changes:
            changes["flavor"] = changes["flavor"] or None
        with self._database.write as connection:
            row = connection.execute(_SQL["one"], (name,)).fetchone()
            if row is None:
                raise PoolDoesNotExist(name)
            pool = tuple(changes.get(field, value) for field, value in zip(_FIELDS, row, strict=True))
            _check_weight(pool[2])
            _put(connection, pool, _capabilities_of(pool[1]))

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
    promises = connection.execute(_SQL["promises"], (flavor,)).fetchall()
    missing = sorted({name for (stored,) in promises for name in read(stored)} - can)
    if missing:
        raise PoolCapabilitiesMismatch(name, flavor, ", ".join(missing))
    other = connection.execute(_SQL["namesake"], (uri, name)).fetchone()
    if other is not None:
        raise PoolAlreadyExists(other[0])
    connection.execute(_SQL["put"], pool)


def _is_last_of(connection: sqlite3.Connection, flavor: str) -> bool:
    exists = connection.execute(_SQL["promises"], (flavor,)).fetchone() is not None
    return exists and len(connection.execute(_SQL["of_flavor"], (flavor,)).fetchall()) == 1


def _check_weight(weight: object) -> None:
    if not isinstance(weight, int) or isinstance(weight, bool) or weight < 0:
        raise ConfigurationError(f"a pool's weight is a whole number of at least 0, not {weight!r}")


def _capabilities_of(uri: str) -> set[str]:
    # Only now: the package that knows the drivers is the one that loads this driver.
    from kombu_pool.drivers import capabilities_of  # noqa: PLC0415

    return {capability.name for capability in capabilities_of(uri)}


def _shown(row: Any, detailed: bool) -> Pool:
    name, uri, weight, flavor, options = row
    view: Pool = {"name": name, "uri": uri, "weight": weight, "flavor": flavor}
    if detailed:
        view["options"] = read(options)
    return view
