"""The pools and the flavors, which limit each other: all in one document, so that one step sees and changes them.

There are few of them, and they rarely change. Who changes them reads the document and replaces it, unless somebody else
did so meanwhile: then it begins anew.
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
    """What is kept of a pool; ``leaving`` is there while somebody is about to delete it."""

    uri: str
    weight: int
    flavor: str | None
    options: bytes
    leaving: str | None = None


class Records(NamedTuple):
    """All pools by name, and the capabilities of all flavors by project's key and name."""

    pools: dict[str, StoredPool]
    flavors: dict[tuple[str, str], bytes]

    def promises_of(self, flavor: str | None) -> list[bytes]:
        """Return what a flavor of that name promises, in each project that has one: pools belong to all of them."""
        return [capabilities for (_, name), capabilities in self.flavors.items() if name == flavor]

    def is_last_of(self, flavor: str | None) -> bool:
        """Tell whether a flavor exists that has one pool left."""
        pools = sum(pool.flavor == flavor for pool in self.pools.values())
        return flavor is not None and pools == 1 and bool(self.promises_of(flavor))


class Registry:
    """The one document."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def read(self) -> Records:
        """Return all pools and flavors."""
        return self._read()[0]

    def change(self, work: Callable[[Records], T]) -> T:
        """Let ``work`` change the records, and keep what it made of them; it may be called again, or raise."""
        while True:
            records, version = self._read()
            answer = work(records)
            if self._replace(records, version):
                return answer

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
