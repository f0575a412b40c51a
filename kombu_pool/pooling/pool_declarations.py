"""Pools and flavors declared in a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kombu_pool import errors
from kombu_pool.drivers import capabilities_of
from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.model import Pool, Project
    from kombu_pool.storage import ControlDriver

DEFAULT_WEIGHT = 100
_POOL_KEYS = {"name", "uri", "weight", "flavor", "options"}
_FLAVOR_KEYS = {"name", "capabilities"}


def declare_pools(
    control: ControlDriver,
    pools: Iterable[Mapping[str, Any]] = (),
    flavors: Iterable[Mapping[str, Any]] = (),
    project: Project = None,
) -> None:
    """Create or update these pools and flavors in the control store; those that are unchanged are not written.

    A pool is ``{"name", "uri", "weight"?, "flavor"?, "options"?}``, a flavor of the project
    ``{"name", "capabilities"?}``. A flavor that only a pool names is created with that pool. Other pools and flavors
    stay.

    Raises:
        ConfigurationError: a declaration lacks a key, has an unknown one, or an invalid value; no driver serves a URI.
        PoolAlreadyExists, PoolCapabilitiesMismatch: as :meth:`~kombu_pool.storage.PoolsController.create`.
    """
    pools = [_validated(pool, "pool", _POOL_KEYS, {"name", "uri"}) for pool in pools]
    flavors = [_validated(flavor, "flavor", _FLAVOR_KEYS, {"name"}) for flavor in flavors]
    declared = {flavor["name"] for flavor in flavors}
    implied = dict.fromkeys(pool["flavor"] for pool in pools if pool.get("flavor") and pool["flavor"] not in declared)
    for flavor in flavors:
        _declare_flavor(control, flavor, project)
    for name in implied:
        if not control.flavors_controller.exists(name, project=project):
            control.flavors_controller.create(name, project=project)
    for pool in pools:
        _declare_pool(control, pool)


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
                f"broker_transport_options: queue_flavors gives the queues {pattern!r} the flavor {flavor!r}, which "
                f"has no pool; flavors with pools: {_listed(known) or 'none'}"
            )


def _validated(given: Mapping[str, Any], kind: str, known: set[str], required: set[str]) -> dict[str, Any]:
    try:
        declared = dict(given)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"A {kind} must be a mapping with the keys {_listed(required)}, not {given!r}"
        ) from error
    if unknown := declared.keys() - known:
        raise ConfigurationError(f"Unknown keys of a {kind}: {_listed(unknown)}; known are {_listed(known)}")
    if missing := {key for key in required if not declared.get(key) or not isinstance(declared[key], str)}:
        raise ConfigurationError(f"A {kind} lacks {_listed(missing)}, which must be non-empty text")
    return declared


def _listed(keys: Iterable[object]) -> str:
    return ", ".join(sorted(map(repr, keys)))


def _declare_flavor(control: ControlDriver, flavor: Mapping[str, Any], project: Project) -> None:
    try:
        found = control.flavors_controller.get(flavor["name"], project=project, detailed=True)
    except errors.FlavorDoesNotExist:
        found = None
    if found is None or _comparable(found) != _comparable(flavor):
        control.flavors_controller.create(flavor["name"], project=project, capabilities=flavor.get("capabilities"))


def _comparable(flavor: Mapping[str, Any]) -> list[Any]:
    capabilities = flavor.get("capabilities") or ()
    return sorted(capabilities.items() if isinstance(capabilities, Mapping) else capabilities)


def _declare_pool(control: ControlDriver, pool: Mapping[str, Any]) -> None:
    name = pool["name"]
    declared: dict[str, Any] = {
        "uri": pool["uri"],
        "weight": _weight(pool),
        "flavor": pool.get("flavor") or None,
        "options": dict(pool.get("options") or {}),
    }
    try:
        found = control.pools_controller.get(name, detailed=True)
    except errors.PoolDoesNotExist:
        found = None
    if found is None or found["uri"] != pool["uri"]:
        capabilities_of(pool["uri"])  # raises for a URI that no driver serves; a stored one is not checked again
    if found is None:
        control.pools_controller.create(name, **declared)
        return
    changes = {key: value for key, value in declared.items() if _current(found, key) != value}
    if "flavor" in changes:
        changes["flavor"] = changes["flavor"] or ""  # None would leave the present flavor unchanged
    if changes:
        control.pools_controller.update(name, **changes)


def _current(pool: Pool, key: str) -> Any:
    value = pool.get(key)
    if key == "options":
        return value or {}
    return value or None if key == "flavor" else value


def _weight(pool: Mapping[str, Any]) -> int:
    weight = pool.get("weight", DEFAULT_WEIGHT)
    if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
        raise ConfigurationError(f"Pool {pool['name']!r}: weight must be 0 or more, not {weight!r}")
    return weight
