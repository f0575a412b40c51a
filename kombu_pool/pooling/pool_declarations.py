"""Pools and flavors that are declared in a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool import errors
from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    """Make the control store name these pools and flavors; what is there already, and the same, is left alone.

    A pool is ``{"name", "uri", "weight"?, "flavor"?, "options"?}``, a flavor of the project
    ``{"name", "capabilities"?}``. A flavor that only a pool names is declared along with the pool. Pools and flavors
    that are not declared stay.

    Raises:
        ConfigurationError: a declaration lacks something, or says something that is not known.
        PoolAlreadyExists, PoolCapabilitiesMismatch: as :meth:`~kombu_pool.storage.PoolsController.create`.
    """
    pools = [_checked(pool, "pool", _POOL_KEYS, {"name", "uri"}) for pool in pools]
    flavors = [_checked(flavor, "flavor", _FLAVOR_KEYS, {"name"}) for flavor in flavors]
    declared = {flavor["name"] for flavor in flavors}
    implied = dict.fromkeys(pool["flavor"] for pool in pools if pool.get("flavor") and pool["flavor"] not in declared)
    for flavor in flavors:
        _declare_flavor(control, flavor, project)
    for name in implied:
        if not control.flavors_controller.exists(name, project=project):
            control.flavors_controller.create(name, project=project)
    for pool in pools:
        _declare_pool(control, pool)


def _checked(given: Mapping[str, Any], what: str, known: set[str], needed: set[str]) -> dict[str, Any]:
    try:
        declared = dict(given)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"A {what} is declared by a mapping with {_listed(needed)}, not by {given!r}"
        ) from error
    if unknown := declared.keys() - known:
        raise ConfigurationError(f"A {what} has no {_listed(unknown)}; known here: {_listed(known)}")
    if lacking := {key for key in needed if not declared.get(key) or not isinstance(declared[key], str)}:
        raise ConfigurationError(f"A {what} is declared without {_listed(lacking)}, which must be a text")
    return declared


def _listed(keys: Iterable[object]) -> str:
    return ", ".join(sorted(map(repr, keys)))


def _declare_flavor(control: ControlDriver, flavor: Mapping[str, Any], project: Project) -> None:
    wanted = sorted(flavor.get("capabilities") or ())
    try:
        found = control.flavors_controller.get(flavor["name"], project=project, detailed=True)
    except errors.FlavorDoesNotExist:
        found = None
    if found is None or sorted(found.get("capabilities") or ()) != wanted:
        control.flavors_controller.create(flavor["name"], project=project, capabilities=wanted)


def _declare_pool(control: ControlDriver, pool: Mapping[str, Any]) -> None:
    name = pool["name"]
    wanted: dict[str, Any] = {
        "uri": pool["uri"],
        "weight": _weight(pool),
        "flavor": pool.get("flavor") or None,
        "options": dict(pool.get("options") or {}),
    }
    try:
        found = control.pools_controller.get(name, detailed=True)
    except errors.PoolDoesNotExist:
        control.pools_controller.create(name, wanted["weight"], wanted["uri"], wanted["flavor"], wanted["options"])
        return
    changes = {key: value for key, value in wanted.items() if _present(found, key) != value}
    if "flavor" in changes:
        changes["flavor"] = changes["flavor"] or ""  # None would leave the one that is there
    if changes:
        control.pools_controller.update(name, **changes)


def _present(pool: Pool, key: str) -> Any:
    value = pool.get(key)
    if key == "options":
        return value or {}
    return value or None if key == "flavor" else value


def _weight(pool: Mapping[str, Any]) -> int:
    weight = pool.get("weight", DEFAULT_WEIGHT)
    if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
        raise ConfigurationError(
            f"Pool {pool['name']!r}: weight={weight!r} is not possible: a whole number from 0 up is"
        )
    return weight
