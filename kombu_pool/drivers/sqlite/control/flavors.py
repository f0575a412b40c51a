"""The flavors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.drivers import pool_validation
from kombu_pool.drivers.sqlite.codec import project_key
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import FlavorDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import FlavorsController as Contract
from kombu_pool.storage.policy import write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.model import Flavor, Project

_SQL = statements("flavors")


class FlavorsController(Contract):
    """Flavors in a table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(
        self, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False
    ) -> Iterator[Any]:
        rows = self._database.rows(_SQL["page"], (project_key(project), marker or "", marker or None, limit or -1))
        return page([_view(row, detailed) for row in rows], lambda flavor: flavor["name"])

    def create(self, name: str, project: Project = None, capabilities: Iterable[str] | None = None) -> None:
        stored = write(list(capabilities or ()))
        with self._database.write as connection:
            connection.execute(_SQL["put"], (project_key(project), name, stored))

    def get(self, name: str, project: Project = None, detailed: bool = False) -> Flavor:
        row = self._find(name, project)
        if row is None:
            raise FlavorDoesNotExist(name)
        return _view(row, detailed)

    def exists(self, name: str, project: Project = None) -> bool:
        return self._find(name, project) is not None

    def update(self, name: str, project: Project = None, capabilities: Iterable[str] | None = None) -> None:
        stored = write(pool_validation.flavor_capabilities(name, capabilities))
        with self._database.write as connection:
            if not connection.execute(_SQL["update"], (stored, project_key(project), name)).rowcount:
                raise FlavorDoesNotExist(name)

    def delete(self, name: str, project: Project = None) -> None:
        with self._database.write as connection:
            connection.execute(_SQL["delete"], (project_key(project), name))

    def drop_all(self) -> None:
        with self._database.write as connection:
            connection.execute(_SQL["drop_all"])

    def _find(self, name: str, project: Project) -> Any:
        return self._database.row(_SQL["one"], (project_key(project), name))


def _view(row: Any, detailed: bool) -> Flavor:
    name, capabilities = row
    return pool_validation.flavor_view(name, codec.decode(capabilities), detailed=detailed)
