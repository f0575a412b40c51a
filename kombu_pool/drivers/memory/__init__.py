"""The store in this process's memory: the reference semantics, for tests and eager applications.

``memory://NAME`` is one store per name, shared by all drivers of the process. A forked child has a copy of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool import conf as settings
from kombu_pool.drivers.memory.control import ControlDriver
from kombu_pool.drivers.memory.driver import DataDriver
from kombu_pool.drivers.memory.shared import control_store, data_store
from kombu_pool.model import Capabilities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.uri import StoreUri
    from kombu_pool.storage import ControlDriver as AnyControlDriver
    from kombu_pool.storage import DeadLetterHooks

CAPABILITIES = (Capabilities.FIFO, Capabilities.CLAIMS, Capabilities.AOD, Capabilities.HIGH_THROUGHPUT)


def open_data(
    uri: StoreUri,
    *,
    control: AnyControlDriver | None,  # noqa: ARG001 - the store needs none
    conf: Any,
    cache: Any,  # noqa: ARG001 - reading memory needs none
    clock: Clock,
    options: Mapping[str, Any],
    dead_letter_hooks: DeadLetterHooks,
) -> DataDriver:
    """Open the store for messages."""
    chosen = _options(uri, conf, options)
    return DataDriver(
        data_store(name_of(uri)), clock, capabilities=CAPABILITIES, dead_letter_hooks=dead_letter_hooks, **chosen
    )


def open_control(
    uri: StoreUri,
    *,
    conf: Any,
    cache: Any,  # noqa: ARG001 - reading memory needs none
    clock: Clock,
) -> ControlDriver:
    """Open the store for the control plane."""
    _options(uri, conf, {})
    return ControlDriver(uri.text, control_store(name_of(uri)), clock)


def name_of(uri: StoreUri) -> str:
    """Return the name of the store in this process."""
    return uri.authority + uri.path.rstrip("/")


def _options(uri: StoreUri, conf: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    given = {**uri.options, **options}
    return settings.options(settings.MEMORY, given, where=str(uri), conf=conf, group=settings.MEMORY_GROUP)
