"""Validation and views of pools and flavors, the same in every control store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.drivers import capabilities_of
from kombu_pool.errors import ConfigurationError, PoolCapabilitiesMismatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kombu_pool.model import Flavor, Pool

_CHANGEABLE = ("uri", "weight", "flavor", "options")


def check_weight(weight: object) -> None:
    """Raise ConfigurationError unless the value is a valid weight."""
    if not isinstance(weight, int) or isinstance(weight, bool) or weight < 0:
        raise ConfigurationError(f"a pool's weight must be a whole number of 0 or more, not {weight!r}")


def pool_changes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of a pool's update; no flavor is None.

    Raises:
        ConfigurationError: the update names no field, an unknown field, or an invalid weight.
    """
    changes = {key: value for key, value in given.items() if value is not None}
    if not changes or not set(changes) <= set(_CHANGEABLE):
        raise ConfigurationError(f"a pool's {', '.join(_CHANGEABLE)} can change; given: {sorted(changes)}")
    check_weight(changes.get("weight", 0))
    if "flavor" in changes:
        changes["flavor"] = changes["flavor"] or None
    return changes


def capability_names(uri: str) -> set[str]:
    """Return the names of a pool's capabilities; raise ConfigurationError for a URI without a driver."""
    return {capability.name for capability in capabilities_of(uri)}


def require_capabilities(pool: str, flavor: str | None, required: Iterable[Iterable[str]], offered: set[str]) -> None:
    """Check a pool against all flavors of that name, of any project, as pools belong to every project.

    Raises:
        PoolCapabilitiesMismatch: the pool lacks a required capability.
    """
    missing = {str(name) for names in required for name in names} - offered
    if missing:
        raise PoolCapabilitiesMismatch(pool, flavor, ", ".join(sorted(missing)))


def flavor_capabilities(flavor: str, capabilities: Iterable[str] | None) -> list[str]:
    """Return the new capabilities of a flavor; raise ConfigurationError if they are None."""
    if capabilities is None:
        raise ConfigurationError(f"flavor {flavor!r}: no capabilities are given")
    return [*capabilities]


def pool_view(name: str, uri: str, weight: int, flavor: str | None, options: bytes, *, detailed: bool) -> Pool:
    """Return a pool as ``PoolsController`` returns it; ``options`` is a record."""
    view: Pool = {"name": name, "uri": uri, "weight": weight, "flavor": flavor}
    if detailed:
        view["options"] = codec.decode(options)
    return view


def flavor_view(name: str, capabilities: Iterable[str], *, detailed: bool) -> Flavor:
    """Return a flavor as ``FlavorsController`` returns it."""
    view: Flavor = {"name": name}
    if detailed:
        view["capabilities"] = [*capabilities]
    return view
