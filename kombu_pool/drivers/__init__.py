"""The driver of a URI: built in or third-party, found by the URI's scheme and loaded at first use.

A driver is a module (or any object) with ``CAPABILITIES``, ``open_data`` and, if the store can be a control store,
``open_control``. A third-party driver is an entry point of the group ``kombu_pool.drivers`` with the scheme's name.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache as memoised
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol

from kombu_pool.clock import SYSTEM_CLOCK, Clock
from kombu_pool.drivers.masking import mask, mask_uri, show
from kombu_pool.drivers.uri import StoreUri, parse
from kombu_pool.errors import ConfigurationError, InvalidDriver
from kombu_pool.storage import DeadLetterHooks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.model import Capabilities
    from kombu_pool.storage import ControlDriver, DataDriver

GROUP = "kombu_pool.drivers"
_BUILT_IN = {
    "memory": "kombu_pool.drivers.memory",
    "mongodb": "kombu_pool.drivers.mongodb",
    "mongodb+srv": "kombu_pool.drivers.mongodb",
    "redis": "kombu_pool.drivers.redis",
    "rediss": "kombu_pool.drivers.redis",
    "rediss+cluster": "kombu_pool.drivers.redis",
    "rediss+sentinel": "kombu_pool.drivers.redis",
    "valkey": "kombu_pool.drivers.redis",
    "valkeys": "kombu_pool.drivers.redis",
    "redis+cluster": "kombu_pool.drivers.redis",
    "redis+sentinel": "kombu_pool.drivers.redis",
    "redis+socket": "kombu_pool.drivers.redis",
    "sqlite": "kombu_pool.drivers.sqlite",
}
#: The extra of this package that installs a package which a built-in driver imports.
_EXTRAS = {"redis": "redis", "hiredis": "redis", "pymongo": "mongodb", "bson": "mongodb", "dns": "mongodb"}


class Driver(Protocol):
    """The interface of a driver module. ``conf`` is an ``oslo_config.cfg.ConfigOpts`` or None."""

    CAPABILITIES: tuple[Capabilities, ...]

    def open_data(
        self,
        uri: StoreUri,
        *,
        control: ControlDriver | None,
        conf: Any,
        cache: Any,
        clock: Clock,
        options: Mapping[str, Any],
        dead_letter_hooks: DeadLetterHooks,
    ) -> DataDriver:
        """Open a message store."""
        ...

    def open_control(self, uri: StoreUri, *, conf: Any, cache: Any, clock: Clock) -> ControlDriver:
        """Open a control store."""
        ...


def open_data(
    uri: str,
    *,
    control: ControlDriver | None = None,
    conf: Any = None,
    cache: Any = None,
    clock: Clock | None = None,
    options: Mapping[str, Any] | None = None,
    dead_letter_hooks: DeadLetterHooks | None = None,
) -> DataDriver:
    """Open one message store.

    ``options`` override those of the URI's query. ``dead_letter_hooks`` receive the dead letters that leave the store.

    Raises:
        ConfigurationError: the URI or one of the options is invalid.
        ConnectionError: the store is unreachable.
    """
    parsed = parse(uri)
    driver = _driver(parsed)
    return driver.open_data(
        parsed,
        control=control,
        conf=conf,
        cache=cache,
        clock=clock or SYSTEM_CLOCK,
        options=options or {},
        dead_letter_hooks=dead_letter_hooks or DeadLetterHooks(),
    )


def open_control(uri: str, *, conf: Any = None, cache: Any = None, clock: Clock | None = None) -> ControlDriver:
    """Open a control store; raise as :func:`open_data` does."""
    parsed = parse(uri)
    driver = _driver(parsed)
    if not hasattr(driver, "open_control"):
        raise ConfigurationError(f"{parsed.scheme}:// can be a message store, but not the control store")
    return driver.open_control(parsed, conf=conf, cache=cache, clock=clock or SYSTEM_CLOCK)


def capabilities_of(uri: str) -> tuple[Capabilities, ...]:
    """Return the capabilities of a URI's scheme; raise ConfigurationError for an unknown one."""
    return _driver(parse(uri)).CAPABILITIES


def is_created(uri: str, *, conf: Any = None, options: Mapping[str, Any] | None = None) -> bool:
    """Return whether the store exists; a driver of it would create it. True where the driver cannot tell.

    Raises:
        ConfigurationError: as for :func:`open_data`.
        ConnectionError: the store is unreachable.
    """
    parsed = parse(uri)
    found = getattr(_driver(parsed), "is_created", None)
    return found is None or bool(found(parsed, conf=conf, options=options or {}))


def _driver(uri: StoreUri) -> Driver:
    return load(uri.scheme)


def schemes() -> list[str]:
    """Return the schemes with a driver."""
    return sorted({*_BUILT_IN, *_third_party()})


def _third_party() -> dict[str, EntryPoint]:
    return {found.name: found for found in entry_points(group=GROUP)}


@memoised
def load(scheme: str) -> Driver:
    """Return the driver of a scheme.

    Raises:
        ConfigurationError: no driver serves the scheme.
        InvalidDriver: the driver cannot be imported.
    """
    try:
        if scheme in _BUILT_IN:
            return import_module(_BUILT_IN[scheme])
        # A search through all that is installed.
        third_party = _third_party()
        if scheme in third_party:
            driver: Driver = third_party[scheme].load()
            return driver
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None or scheme not in _BUILT_IN:
            raise InvalidDriver(f"The driver of {scheme}:// cannot be loaded: {error}") from error
        raise InvalidDriver(
            f"{scheme}:// needs the package {error.name!r}, which is not installed: pip install 'kombu-pool[{extra}]'"
        ) from error
    except Exception as error:
        raise InvalidDriver(f"The driver of {scheme}:// cannot be loaded: {error}") from error
    known = schemes()
    near = get_close_matches(scheme, known, n=1)
    hint = f"did you mean {near[0]}://?" if near else f"known: {', '.join(f'{name}://' for name in known)}"
    raise ConfigurationError(f"No driver for {scheme}://; {hint}")


__all__ = [
    "Driver",
    "StoreUri",
    "capabilities_of",
    "is_created",
    "load",
    "mask",
    "mask_uri",
    "open_control",
    "open_data",
    "parse",
    "schemes",
    "show",
]
