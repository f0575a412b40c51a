"""The flavors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers import pool_validation
from kombu_pool.errors import FlavorDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import FlavorsController as Contract

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kombu_pool.drivers.memory.control.store import ControlStore
    from kombu_pool.model import Flavor, Project


class FlavorsController(Contract):
    """Flavors, in a dictionary."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def list(
        self, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False
    ) -> Iterator[Any]:
        with self._store.lock:
            names = sorted(
                name for owner, name in self._store.flavors if owner == project and (not marker or name > marker)
            )
            views = [self._view(project, name, detailed) for name in names[: limit or None]]
        return page(views, lambda flavor: flavor["name"])

    def create(self, name: str, project: Project = None, capabilities: Iterable[str] | None = None) -> None:
        names = list(capabilities or ())
        with self._store.lock:
            self._store.flavors[project, name] = names

    def get(self, name: str, project: Project = None, detailed: bool = False) -> Flavor:
        with self._store.lock:
            self._require(name, project)
            return self._view(project, name, detailed)

    def exists(self, name: str, project: Project = None) -> bool:
        return (project, name) in self._store.flavors

    def update(self, name: str, project: Project = None, capabilities: Iterable[str] | None = None) -> None:
        names = pool_validation.flavor_capabilities(name, capabilities)
        with self._store.lock:
            self._require(name, project)
            self._store.flavors[project, name] = names

    def delete(self, name: str, project: Project = None) -> None:
        with self._store.lock:
            self._store.flavors.pop((project, name), None)

    def drop_all(self) -> None:
        with self._store.lock:
            self._store.flavors.clear()

    def _require(self, name: str, project: Project) -> None:
        if (project, name) not in self._store.flavors:
            raise FlavorDoesNotExist(name)

    def _view(self, project: Project, name: str, detailed: bool) -> Flavor:
        return pool_validation.flavor_view(name, self._store.flavors[project, name], detailed=detailed)
