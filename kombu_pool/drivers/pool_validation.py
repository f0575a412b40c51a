"""What every control store asks of a pool before it keeps it, and how it shows pools and flavors."""

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
    """Raise ConfigurationError for what cannot be a weight."""
    if not isinstance(weight, int) or isinstance(weight, bool) or weight < 0:
        raise ConfigurationError(f"a pool's weight is a whole number of at least 0, not {weight!r}")


def pool_changes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an update of a pool changes, where no flavor is None.

    Raises:
        ConfigurationError: it names nothing, something that no pool has, or a weight that cannot be one.
    """
    changes = {key: value for key, value in given.items() if value is not None}
    if not changes or not set(changes) <= set(_CHANGEABLE):
        raise ConfigurationError(f"a pool can change {', '.join(_CHANGEABLE)}; given: {sorted(changes)}")
    check_weight(changes.get("weight", 0))
    if "flavor" in changes:
        changes["flavor"] = changes["flavor"] or None
    return changes


def capability_names(uri: str) -> set[str]:
    """Return the names of what a pool can do; raises ConfigurationError for a URI that no driver knows."""
    return {capability.name for capability in capabilities_of(uri)}


def require_capabilities(pool: str, flavor: str | None, promises: Iterable[Iterable[str]], can: set[str]) -> None:
    """Hold a pool to what the flavors of that name promise, each in its project: pools belong to all of them.

    Raises:
        PoolCapabilitiesMismatch: it cannot do all of it.
    """
    missing = {str(name) for names in promises for name in names} - can
    if missing:
        raise PoolCapabilitiesMismatch(pool, flavor, ", ".join(sorted(missing)))


def flavor_capabilities(flavor: str, capabilities: Iterable[str] | None) -> list[str]:
    """Return what a flavor is to promise from now on; raises ConfigurationError if nothing is said of it."""
    if capabilities is None:
        raise ConfigurationError(f"flavor {flavor!r}: no capabilities are given")
    return [*capabilities]


def pool_view(name: str, uri: str, weight: int, flavor: str | None, options: bytes, *, detailed: bool) -> Pool:
    """Return a pool as ``PoolsController`` answers it; its options are a record."""
    view: Pool = {"name": name, "uri": uri, "weight": weight, "flavor": flavor}
    if detailed:
        view["options"] = codec.decode(options)
    return view


def flavor_view(name: str, capabilities: Iterable[str], *, detailed: bool) -> Flavor:
    """Return a flavor as ``FlavorsController`` answers it."""
    view: Flavor = {"name": name}
    if detailed:
        view["capabilities"] = [*capabilities]
    return view
