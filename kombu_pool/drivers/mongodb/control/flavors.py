"""The controller of flavors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.codec import decode
from kombu_pool.drivers import pool_validation
from kombu_pool.drivers.mongodb.control.registry import scope_of
from kombu_pool.errors import FlavorDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import FlavorsController as Contract
from kombu_pool.storage.policy import write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kombu_pool.drivers.mongodb.control.registry import Records, Registry
    from kombu_pool.model import Flavor, Project


class FlavorsController(Contract):
    """Flavors in the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def list(
        self, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False
    ) -> Iterator[Any]:
        flavors = self._registry.read().flavors
        key = scope_of(project, "")[0]
        names = sorted(name for owner, name in flavors if owner == key and (not marker or name > marker))
        listed = [_to_flavor(name, flavors[key, name], detailed=detailed) for name in names[: limit or None]]
        return page(listed, lambda flavor: flavor["name"])

    def create(self, name: str, project: Project = None, capabilities: Iterable[str] | None = None) -> None:
        stored = write(list(capabilities or ()))

        def add(records: Records) -> None:
            records.flavors[scope_of(project, name)] = stored

        self._registry.change(add)

    def get(self, name: str, project: Project = None, detailed: bool = False) -> Flavor:
        found = self._registry.read().flavors.get(scope_of(project, name))
        if found is None:
            raise FlavorDoesNotExist(name)
        return _to_flavor(name, found, detailed=detailed)

    def exists(self, name: str, project: Project = None) -> bool:
        return scope_of(project, name) in self._registry.read().flavors

    def update(self, name: str, project: Project = None, capabilities: Iterable[str] | None = None) -> None:
        stored = write(pool_validation.flavor_capabilities(name, capabilities))

        def replace(records: Records) -> None:
            if scope_of(project, name) not in records.flavors:
                raise FlavorDoesNotExist(name)
            records.flavors[scope_of(project, name)] = stored

        self._registry.change(replace)

    def delete(self, name: str, project: Project = None) -> None:
        self._registry.change(lambda records: records.flavors.pop(scope_of(project, name), None))

    def drop_all(self) -> None:
        self._registry.change(lambda records: records.flavors.clear())


def _to_flavor(name: str, capabilities: bytes, *, detailed: bool) -> Flavor:
    return pool_validation.flavor_view(name, decode(capabilities), detailed=detailed)
