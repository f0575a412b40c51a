"""Pools and flavors declared in a configuration, which creates what is absent and undoes nothing of an operator."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool import errors
from kombu_pool.drivers import capabilities_of, mask_uri, show
from kombu_pool.errors import ConfigurationError
from kombu_pool.pooling.store_comparison import compare_stores, is_same_place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.model import Flavor, Pool, Project
    from kombu_pool.storage import ControlDriver

logger = logging.getLogger(__name__)

DEFAULT_WEIGHT = 100
_POOL_KEYS = {"name", "uri", "weight", "flavor", "options"}
_FLAVOR_KEYS = {"name", "capabilities"}
_warned: set[tuple[str, str]] = set()


class PoolDifference(NamedTuple):
    """A pool of the settings, and which values the control store has otherwise; None: it has no such pool."""

    name: str
    values: dict[str, Any]
    keys: list[str] | None


def declare_pools(
    control: ControlDriver,
    pools: Iterable[Mapping[str, Any]] = (),
    flavors: Iterable[Mapping[str, Any]] = (),
    project: Project = None,
) -> None:
    """Create those of these pools and flavors that are absent from the control store; log where others differ, once.

    A pool is ``{"name", "uri", "weight"?, "flavor"?, "options"?}``, a flavor of the project
    ``{"name", "capabilities"?}``. A flavor that only a pool names is created with that pool. A pool that was deleted
    is not created again.

    Raises:
        ConfigurationError: a declaration lacks a key, has an unknown one, or an invalid value; no driver serves a URI;
            queues are assigned to a pool of another URI.
        PoolAlreadyExists, PoolCapabilitiesMismatch: as :meth:`~kombu_pool.storage.PoolsController.create`.
    """
    pools = [_validated(pool, "pool", _POOL_KEYS, {"name", "uri"}) for pool in pools]
    flavors = [_validated(flavor, "flavor", _FLAVOR_KEYS, {"name"}) for flavor in flavors]
    declared = {flavor["name"] for flavor in flavors}
    implied = dict.fromkeys(pool["flavor"] for pool in pools if pool.get("flavor") and pool["flavor"] not in declared)
    for flavor in flavors:
        _declare_flavor(control, flavor, project)
    for name in implied:
        _declare_flavor(control, {"name": name}, project)
    for pool in pools:
        _declare_pool(control, pool, project)


def require_pools_of(control: ControlDriver, queue_flavors: Mapping[str, str], project: Project = None) -> None:
    """Check that each flavor which the option ``queue_flavors`` maps queues to exists, and has a pool.

    Raises:
        ConfigurationError: one does not; a queue of it could never be declared.
    """
    if not any(queue_flavors.values()):
        return
    named = {row["flavor"] for row in next(control.pools_controller.list(limit=0)) if row["flavor"]}
    known = [flavor for flavor in sorted(named) if control.flavors_controller.exists(flavor, project=project)]
    for pattern, flavor in queue_flavors.items():
        if flavor and flavor not in known:
            raise ConfigurationError(
                f"queue_flavors gives the queues {pattern!r} the flavor {flavor!r}, which "
                f"has no pool; flavors with pools: {_listed(known) or 'none'}"
            )


def _validated(given: Mapping[str, Any], kind: str, known: set[str], required: set[str]) -> dict[str, Any]:
    try:
        declared = dict(given)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"A {kind} must be a mapping with the keys {_listed(required)}, not {show(given)}"
        ) from error
    if unknown := declared.keys() - known:
        raise ConfigurationError(f"Unknown keys of a {kind}: {_listed(unknown)}; known are {_listed(known)}")
    if missing := {key for key in required if not declared.get(key) or not isinstance(declared[key], str)}:
        raise ConfigurationError(f"A {kind} lacks {_listed(missing)}, which must be non-empty text")
    return declared


def _listed(keys: Iterable[object]) -> str:
    return ", ".join(sorted(map(repr, keys)))


def add_pool(control: ControlDriver, pool: Mapping[str, Any], project: Project = None) -> None:
    """Create a pool, in place of one that was deleted, and its flavor if that is absent; raise as declare_pools().

    Raises:
        ConfigurationError: there is a pool of that name, too.
    """
    pool = _validated(pool, "pool", _POOL_KEYS, {"name", "uri"})
    capabilities_of(pool["uri"])
    if pool.get("flavor"):
        _declare_flavor(control, {"name": pool["flavor"]}, project)
    if not control.pools_controller.create_if_absent(pool["name"], **_values(pool), restore=True):
        raise already_added(pool["name"])


def already_added(name: str) -> ConfigurationError:
    """Return the error of a pool that is added where there is one of that name."""
    return ConfigurationError(f"Pool {name!r} exists already; change it with: celery pool set {name}")


def _declare_flavor(control: ControlDriver, flavor: Mapping[str, Any], project: Project) -> None:
    name = flavor["name"]
    found = _find_flavor(control, name, project)
    if found is None:
        # Another process may create it since it was looked for.
        if control.flavors_controller.create_if_absent(name, project, flavor.get("capabilities")):
            return
        found = _find_flavor(control, name, project)
    if found and "capabilities" in flavor and _comparable(found) != _comparable(flavor):
        _warn(
            control,
            f"The flavor {name!r} has the capabilities {found['capabilities']!r}, and other ones in the settings: "
            "those in the settings have no effect",
        )


def _find_flavor(control: ControlDriver, name: str, project: Project) -> Flavor | None:
    with suppress(errors.FlavorDoesNotExist):
        return control.flavors_controller.get(name, project=project, detailed=True)
    return None


def _comparable(flavor: Mapping[str, Any]) -> list[Any]:
    capabilities = flavor.get("capabilities") or ()
    return sorted(capabilities.items() if isinstance(capabilities, Mapping) else capabilities)


def _declare_pool(control: ControlDriver, pool: Mapping[str, Any], project: Project) -> None:
    name = pool["name"]
    declared = _values(pool)
    found = _find_pool(control, name)
    if found is None or found["uri"] != pool["uri"]:
        capabilities_of(pool["uri"])  # raises for a URI that no driver serves; a stored one is not checked again
    if found is None:
        # Another process may create it since it was looked for.
        if control.pools_controller.create_if_absent(name, **declared):
            return
        found = _find_pool(control, name)
    if found is None:
        _warn(control, _removed(pool))
    else:
        _compare(control, found, {key: value for key, value in declared.items() if key in pool}, project)


def _find_pool(control: ControlDriver, name: str) -> Pool | None:
    with suppress(errors.PoolDoesNotExist):
        return control.pools_controller.get(name, detailed=True)
    return None


def _compare(control: ControlDriver, found: Pool, declared: Mapping[str, Any], project: Project) -> None:
    """Log how a stored pool differs from the settings.

    Raises:
        ConfigurationError: the settings lead to another store than the one with the pool's queues.
    """
    different = _different(found, declared)
    if "uri" in different and not is_same_place(found["uri"], declared["uri"]):
        _require_store(control, found, declared["uri"], project)
    if different:
        _warn(control, _difference(found, declared, different))


def _require_store(control: ControlDriver, found: Pool, uri: str, project: Project) -> None:
    """Raise ConfigurationError if the pool has queues, and the URI certainly leads to another store than theirs."""
    name = found["name"]
    try:
        control.pools_controller.require_unused(name)
    except errors.PoolInUse as error:
        try:
            compared = compare_stores(control, found, uri, project)
        except errors.ConnectionError:
            return
        if not compared.is_same and not compared.is_unreachable:
            raise ConfigurationError(
                f"Pool {name!r} is {mask_uri(found['uri'])} and has {error.queues} queues; the settings say "
                f"{mask_uri(uri)}, where their messages are not: give that pool another name, and this "
                f"one no new queues with celery pool set {name} --weight 0"
            ) from error


def _different(found: Pool, declared: Mapping[str, Any]) -> list[str]:
    return [key for key, value in declared.items() if _current(found, key) != value]


def _difference(found: Pool, declared: Mapping[str, Any], keys: Iterable[str]) -> str:
    name = found["name"]
    told = ", ".join(f"{key} {_shown(found, key)} (settings: {_shown(declared, key)})" for key in keys)
    return f"Pool {name!r} stays as it is, and differs from the settings: {told}; celery pool set {name} changes it"


def compare_pools(control: ControlDriver, pools: Iterable[Mapping[str, Any]]) -> list[PoolDifference]:
    """Return how these pools of the settings differ from those of the control store; of a new one all values.

    Raises:
        ConfigurationError: a declaration lacks a key, has an unknown one, or an invalid value.
    """
    compared = []
    for given in pools:
        pool = _validated(given, "pool", _POOL_KEYS, {"name", "uri"})
        values, found = _values(pool), _find_pool(control, pool["name"])
        keys = None if found is None else _different(found, {key: values[key] for key in values if key in pool})
        compared.append(PoolDifference(pool["name"], values, keys))
    return compared


def pool_differences(control: ControlDriver, pools: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return (name, what differs) for each of these pools of the settings that the control store has otherwise.

    Raises:
        ConfigurationError: a declaration lacks a key, has an unknown one, or an invalid value.
    """
    differences = []
    for given in pools:
        pool = _validated(given, "pool", _POOL_KEYS, {"name", "uri"})
        declared = {key: value for key, value in _values(pool).items() if key in pool}
        found = _find_pool(control, pool["name"])
        if found is None:
            if control.pools_controller.is_removed(pool["name"]):
                differences.append((pool["name"], _removed(pool)))
            continue
        if different := _different(found, declared):
            differences.append((pool["name"], _difference(found, declared, different)))
    return differences


def _removed(pool: Mapping[str, Any]) -> str:
    name = pool["name"]
    return (
        f"Pool {name!r} was removed, and the settings name it: remove it from them, or add it again with "
        f"celery pool add {name} {mask_uri(pool['uri'])}"
    )


def _warn(control: ControlDriver, text: str) -> None:
    """Log a difference once in a process."""
    if (control.uri, text) not in _warned:
        _warned.add((control.uri, text))
        logger.warning("%s", text)


def _values(pool: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "uri": pool["uri"],
        "weight": _weight(pool),
        "flavor": pool.get("flavor") or None,
        "options": dict(pool.get("options") or {}),
    }


def _current(pool: Mapping[str, Any], key: str) -> Any:
    value = pool.get(key)
    if key == "options":
        return value or {}
    return value or None if key == "flavor" else value


def _shown(pool: Mapping[str, Any], key: str) -> str:
    """Return a value of a pool without its passwords: of its options the names."""
    value = _current(pool, key)
    return mask_uri(value) if key == "uri" else repr(sorted(value) if key == "options" else value)


def _weight(pool: Mapping[str, Any]) -> int:
    weight = pool.get("weight", DEFAULT_WEIGHT)
    if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
        raise ConfigurationError(f"Pool {pool['name']!r}: weight must be 0 or more, not {show(weight)}")
    return weight
