"""The controller of flavors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.drivers import pool_validation
from kombu_pool.drivers.redis.control.key_encoding import SEPARATOR, member, project_bytes, stored_name
from kombu_pool.drivers.redis.control.tables import Table
from kombu_pool.drivers.redis.keys import control_key
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import FlavorDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import FlavorsController as Contract
from kombu_pool.storage.policy import write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kombu_pool.drivers.redis.client import Client
    from kombu_pool.model import Flavor, Project

_PUT = script("control/put", repeatable=True)
_DELETE = script("control/delete", repeatable=True)


def projects_key(prefix: str) -> bytes:
    """Return the key of the flavors by name, then project: a pool needs those of all projects."""
    return control_key(prefix, "flavors:projects")


class FlavorsController(Contract):
    """Flavors in a table."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._table = Table(client, "flavors")
        self._projects = projects_key(client.location.key_prefix)
        self._keys = (self._table.records, self._table.names, self._projects)

    def list(
        self, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False
    ) -> Iterator[Any]:
        rows = self._table.rows(project, marker, limit)
        return page([_shown(*row, detailed=detailed) for row in rows], lambda flavor: flavor["name"])

    def create(self, name: str, project: Project = None, capabilities: Iterable[str] | None = None) -> None:
        self._put(project, name, list(capabilities or ()), "")

    def get(self, name: str, project: Project = None, detailed: bool = False) -> Flavor:
        found = self._table.find(project, name)
        if found is None:
            raise FlavorDoesNotExist(name)
        return _shown(name, found, detailed=detailed)

    def exists(self, name: str, project: Project = None) -> bool:
        return self._table.exists(project, name)

    def update(self, name: str, project: Project = None, capabilities: Iterable[str] | None = None) -> None:
        promised = pool_validation.flavor_capabilities(name, capabilities)
        if not self._put(project, name, promised, "present"):
            raise FlavorDoesNotExist(name)

    def delete(self, name: str, project: Project = None) -> None:
        self._client.call(_DELETE, self._keys, member(project, name), _by_name(project, name))

    def drop_all(self) -> None:
        self._table.drop(self._projects)

    def _put(self, project: Project, name: str, capabilities: object, when: str) -> bool:
        arguments = (member(project, name), write(capabilities), when, _by_name(project, name))
        return bool(self._client.call(_PUT, self._keys, *arguments))


def _by_name(project: Project, name: str) -> bytes:
    return stored_name(name) + SEPARATOR + project_bytes(project)


def _shown(name: str, capabilities: bytes, *, detailed: bool) -> Flavor:
    return pool_validation.flavor_view(name, codec.decode(capabilities), detailed=detailed)
