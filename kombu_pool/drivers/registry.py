"""Pools and flavors over any store: a store keeps all of them in one record, as they constrain each other.

There are few of them, and they rarely change. A change reads the record and replaces it, and starts over if another
process replaced it meanwhile.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from kombu_pool import codec, storage
from kombu_pool.drivers import capabilities_of
from kombu_pool.drivers.masking import mask_uri
from kombu_pool.drivers.records import change, to_bytes, to_text
from kombu_pool.errors import (
    ConfigurationError,
    FlavorDoesNotExist,
    NothingToChange,
    PoolAlreadyExists,
    PoolCapabilitiesMismatch,
    PoolDoesNotExist,
    PoolInUseByFlavor,
    PoolIsReserved,
)
from kombu_pool.storage import CONTROL_POOL, DEFAULT_LIMIT, VIRTUAL
from kombu_pool.storage.policy import write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kombu_pool.model import Flavor, Pool, Project, RequiredCapabilities

V = TypeVar("V")

_CHANGEABLE = ("uri", "weight", "flavor", "options")
#: The most names of deleted pools that are kept.
_MAX_REMOVED = 1000


class StoredPool(NamedTuple):
    """A pool; ``options`` is a record."""

    uri: str
    weight: int
    flavor: str | None
    options: bytes

    def __repr__(self) -> str:
        return f"StoredPool(uri={mask_uri(self.uri)!r}, weight={self.weight!r}, flavor={self.flavor!r})"


class Records(NamedTuple):
    """All pools by name, and the encoded capabilities of all flavors by project and name; never changed in place.

    ``removed`` are the names of pools that were deleted and not created again, the latest last.
    """

    pools: Mapping[str, StoredPool] = {}
    flavors: Mapping[tuple[Project, str], bytes] = {}
    removed: tuple[str, ...] = ()

    def capabilities_of(self, flavor: str | None) -> list[Any]:
        """Return the capabilities of the flavors of a name in all projects, as pools belong to all."""
        return [codec.decode(stored) for (_, name), stored in self.flavors.items() if name == flavor]

    def is_last_of(self, flavor: str | None) -> bool:
        """Return whether the flavor exists and has one pool left."""
        return sum(pool.flavor == flavor for pool in self.pools.values()) == 1 and bool(self.capabilities_of(flavor))


class Registry(ABC, Generic[V]):
    """The record of all pools and flavors in one store; ``V`` is the type of its version."""

    @abstractmethod
    def read(self) -> tuple[Records, V]:
        """Return the records and their version."""

    @abstractmethod
    def replace(self, records: Records, version: V, unused: str | None = None) -> bool:
        """Replace the records if their version is still ``version``; return whether it was.

        Raises:
            PoolInUse: queues are assigned to the pool ``unused``. None can be until the records are replaced.
        """

    @abstractmethod
    def require_unused(self, name: str) -> None:
        """Raise PoolInUse if queues are assigned to the pool."""

    def has_pool(self, name: str) -> bool:
        """Return whether the pool exists."""
        return name in self.read()[0].pools

    def change(self, work: Callable[[Records], Records], unused: str | None = None) -> bool:
        """Replace the records by the result of ``work``, which may be called again, or raise; return if they differ.

        Raises:
            PoolInUse: as :meth:`replace`.
            ConnectionError: other processes replaced the records each time.
        """
        differed = False

        def attempt() -> bool:
            nonlocal differed
            records, version = self.read()
            changed = work(records)
            differed = changed != records
            return not differed or self.replace(changed, version, unused)

        change(attempt, "pools")
        return differed


def encode(records: Records) -> bytes:
    """Return the stored form of records. Names are bytes in it: UTF-8 has no lone surrogates, and a name may.

    Raises:
        ConfigurationError: a weight is too large.
    """
    pools = [
        (to_bytes(name), to_bytes(pool.uri), pool.weight, to_bytes(pool.flavor), pool.options)
        for name, pool in records.pools.items()
    ]
    flavors = [(to_bytes(project), to_bytes(name), names) for (project, name), names in records.flavors.items()]
    return write([pools, flavors, [to_bytes(name) for name in records.removed]])


@lru_cache(maxsize=16)
def decode(record: bytes) -> Records:
    """Return the records of a stored form; b"" stands for none."""
    if not record:
        return Records()
    pools, flavors, removed = codec.decode(record)
    return Records(
        {
            to_text(name): StoredPool(to_text(uri), weight, to_text(flavor), options)
            for name, uri, weight, flavor, options in pools
        },
        {(to_text(project), to_text(name)): names for project, name, names in flavors},
        tuple(to_text(name) for name in removed),
    )


class PoolsController(storage.PoolsController):
    """The pools of a registry."""

    def __init__(self, registry: Registry[Any]) -> None:
        self._registry = registry

    def list(self, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False) -> Iterator[Any]:
        pools = self._registry.read()[0].pools
        return _page(pools, marker, limit, lambda name: _to_pool(name, pools[name], detailed))

    def create(
        self, name: str, weight: int, uri: str, flavor: str | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        pool = _to_stored(name, weight, uri, flavor, options)
        self._registry.change(lambda records: _put(records, name, pool))

    def create_if_absent(
        self,
        name: str,
        weight: int,
        uri: str,
        flavor: str | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        restore: bool = False,
    ) -> bool:
        pool = _to_stored(name, weight, uri, flavor, options)

        def put(records: Records) -> Records:
            is_kept_out = name in records.pools or (not restore and name in records.removed)
            return records if is_kept_out else _put(records, name, pool)

        return self._registry.change(put)

    def get(self, name: str, detailed: bool = False) -> Pool:
        return _to_pool(name, _require(self._registry.read()[0], name), detailed)

    def update(self, name: str, **kwargs: Any) -> None:
        changes = _changes(kwargs)
        _refuse_reserved(name)
        self._registry.change(lambda records: _put(records, name, _require(records, name)._replace(**changes)))

    def delete(self, name: str) -> None:
        _refuse_reserved(name)
        self._registry.change(lambda records: _remove(records, name), unused=name)

    def is_removed(self, name: str) -> bool:
        return name in self._registry.read()[0].removed

    def require_unused(self, name: str) -> None:
        self._registry.require_unused(name)

    def drop_all(self) -> None:
        self._registry.change(lambda records: records._replace(pools={}, removed=()))


class FlavorsController(storage.FlavorsController):
    """The flavors of a registry."""

    def __init__(self, registry: Registry[Any]) -> None:
        self._registry = registry

    def list(
        self, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False
    ) -> Iterator[Any]:
        flavors = self._registry.read()[0].flavors
        names = [name for owner, name in flavors if owner == project]
        return _page(names, marker, limit, lambda name: _to_flavor(name, flavors[project, name], detailed))

    def create(self, name: str, project: Project = None, capabilities: RequiredCapabilities | None = None) -> None:
        self._put(name, project, {} if capabilities is None else capabilities)

    def create_if_absent(
        self, name: str, project: Project = None, capabilities: RequiredCapabilities | None = None
    ) -> bool:
        return self._put(name, project, {} if capabilities is None else capabilities, is_replaced=False)

    def get(self, name: str, project: Project = None, detailed: bool = False) -> Flavor:
        return _to_flavor(name, _require_flavor(self._registry.read()[0], project, name), detailed)

    def update(self, name: str, project: Project = None, capabilities: RequiredCapabilities | None = None) -> None:
        if capabilities is None:
            raise NothingToChange(f"flavor {name!r}: no capabilities are given")
        self._put(name, project, capabilities, must_exist=True)

    def delete(self, name: str, project: Project = None) -> None:
        self._registry.change(lambda records: records._replace(flavors=_without(records.flavors, (project, name))))

    def drop_all(self) -> None:
        self._registry.change(lambda records: records._replace(flavors={}))

    def _put(
        self,
        name: str,
        project: Project,
        given: RequiredCapabilities,
        *,
        must_exist: bool = False,
        is_replaced: bool = True,
    ) -> bool:
        stored = write(dict(given) if isinstance(given, Mapping) else [*given])

        def put(records: Records) -> Records:
            if must_exist:
                _require_flavor(records, project, name)
            if not is_replaced and (project, name) in records.flavors:
                return records
            return records._replace(flavors={**records.flavors, (project, name): stored})

        return self._registry.change(put)


def _page(names: Iterable[str], marker: str | None, limit: int, view: Callable[[str], Any]) -> Iterator[Any]:
    chosen = sorted(name for name in names if not marker or name > marker)[: limit or None]
    return iter((iter([view(name) for name in chosen]), chosen[-1] if chosen else ""))


def _to_stored(name: str, weight: int, uri: str, flavor: str | None, options: Mapping[str, Any] | None) -> StoredPool:
    _check_weight(weight)
    pool = StoredPool(uri, weight, flavor or None, write(dict(options or {})))
    if pool[1:] != (0, None, write({VIRTUAL: True})):
        _refuse_reserved(name)
    return pool


def _to_pool(name: str, pool: StoredPool, detailed: bool) -> Pool:
    view: Pool = {"name": name, "uri": pool.uri, "weight": pool.weight, "flavor": pool.flavor}
    if detailed:
        view["options"] = codec.decode(pool.options)
    return view


def _to_flavor(name: str, capabilities: bytes, detailed: bool) -> Flavor:
    return {"name": name, "capabilities": codec.decode(capabilities)} if detailed else {"name": name}


def _require(records: Records, name: str) -> StoredPool:
    pool = records.pools.get(name)
    if pool is None:
        raise PoolDoesNotExist(name)
    return pool


def _require_flavor(records: Records, project: Project, name: str) -> bytes:
    found = records.flavors.get((project, name))
    if found is None:
        raise FlavorDoesNotExist(name)
    return found


def _refuse_reserved(name: str) -> None:
    if name == CONTROL_POOL:
        raise PoolIsReserved(name)


def _check_weight(weight: object) -> None:
    if not isinstance(weight, int) or isinstance(weight, bool) or weight < 0:
        raise ConfigurationError(f"a pool's weight must be a whole number of 0 or more, not {weight!r}")


def _changes(given: Mapping[str, Any]) -> dict[str, Any]:
    changes = {key: value for key, value in given.items() if value is not None}
    if not set(changes) <= set(_CHANGEABLE) or not changes:
        error = NothingToChange if changes.keys().isdisjoint(_CHANGEABLE) else ConfigurationError
        raise error(f"a pool's {', '.join(_CHANGEABLE)} can change; given: {sorted(changes)}")
    _check_weight(changes.get("weight", 0))
    if "flavor" in changes:
        changes["flavor"] = changes["flavor"] or None
    if "options" in changes:
        changes["options"] = write(dict(changes["options"]))
    return changes


def _put(records: Records, name: str, pool: StoredPool) -> Records:
    _check_capabilities(records, name, pool)
    for other, its in records.pools.items():
        if its.uri == pool.uri and other != name and CONTROL_POOL not in (other, name):
            raise PoolAlreadyExists(other)
    removed = tuple(each for each in records.removed if each != name)
    return records._replace(pools={**records.pools, name: pool}, removed=removed)


def _check_capabilities(records: Records, name: str, pool: StoredPool) -> None:
    required = {each for capabilities in records.capabilities_of(pool.flavor) for each in _required(capabilities)}
    try:
        missing = required - {capability.name for capability in capabilities_of(pool.uri)} if required else ()
    except ConfigurationError:
        return  # not the URI of a store that is known here, so nothing is known of its capabilities either
    if missing:
        raise PoolCapabilitiesMismatch(name, pool.flavor, ", ".join(sorted(missing)))


def _required(capabilities: RequiredCapabilities) -> set[str]:
    if isinstance(capabilities, Mapping):
        capabilities = [name for name, required in capabilities.items() if required]
    return {str(name).upper() for name in capabilities}


def _remove(records: Records, name: str) -> Records:
    pool = records.pools.get(name)
    if pool is not None and records.is_last_of(pool.flavor):
        raise PoolInUseByFlavor(name, pool.flavor)
    if pool is None:
        return records
    return records._replace(pools=_without(records.pools, name), removed=(*records.removed, name)[-_MAX_REMOVED:])


def _without(mapping: Mapping[Any, Any], key: object) -> dict[Any, Any]:
    return {each: value for each, value in mapping.items() if each != key}
