"""The pools and the flavors in one document, as they constrain each other.

There are few of them, and they rarely change. A change reads the document and replaces it, and starts over if another
process replaced it meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb.codec import project_key
from kombu_pool.drivers.mongodb.control.tables import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.model import Project

T = TypeVar("T")

_ID = "pools and flavors"


class StoredPool(NamedTuple):
    """A stored pool; ``leaving`` is the mark of a deletion in progress."""

    uri: str
    weight: int
    flavor: str | None
    options: bytes
    leaving: str | None = None


class Records(NamedTuple):
    """All pools by name, and the stored capabilities of all flavors by project key and name."""

    pools: dict[str, StoredPool]
    flavors: dict[tuple[str, str], bytes]

    def capabilities_of(self, flavor: str | None) -> list[bytes]:
        """Return the stored capabilities of the flavors of a name in all projects, as pools belong to all."""
        return [capabilities for (_, name), capabilities in self.flavors.items() if name == flavor]

    def is_last_of(self, flavor: str | None) -> bool:
        """Return whether the flavor exists and has one pool left."""
        pools = sum(pool.flavor == flavor for pool in self.pools.values())
        return flavor is not None and pools == 1 and bool(self.capabilities_of(flavor))


class Registry:
    """The document of all pools and flavors."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def read(self) -> Records:
        """Return all pools and flavors."""
        return self._read()[0]

    def change(self, work: Callable[[Records], T]) -> T:
        """Call ``work`` with the records, store its changes, return its result; it may be called again, or raise."""
        while True:
            records, version = self._read()
            result = work(records)
            if self._replace(records, version):
                return result

    def _read(self) -> tuple[Records, int]:
        with self._tables.client.translated():
            found = self._tables[REGISTRY].find_one({"_id": _ID}) or {"version": 0, "pools": [], "flavors": []}
        pools = {name: StoredPool(*values) for name, *values in found["pools"]}
        flavors = {(project, name): capabilities for project, name, capabilities in found["flavors"]}
        return Records(pools, flavors), found["version"]

    def _replace(self, records: Records, version: int) -> bool:
        new: dict[str, Any] = {
            "version": version + 1,
            "pools": [[name, *pool] for name, pool in records.pools.items()],
            "flavors": [[*scope, capabilities] for scope, capabilities in records.flavors.items()],
        }
        with self._tables.client.translated():
            try:
                done = self._tables[REGISTRY].replace_one({"_id": _ID, "version": version}, new, upsert=not version)
            except DuplicateKeyError:
                return False
        return bool(done.matched_count or done.upserted_id is not None)


def scope_of(project: Project, name: str) -> tuple[str, str]:
    """Return the key of a flavor."""
    return project_key(project), name
