"""The store in this process's own memory: the reference semantics, and what tests and eager applications run on.

``memory://NAME`` is one store per name, shared by every driver of the process. A process that forks leaves its child
a copy of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool import conf as settings
from kombu_pool.drivers.memory.control import ControlDriver
from kombu_pool.drivers.memory.driver import DataDriver
from kombu_pool.drivers.memory.named import control_store, data_store
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
    control: AnyControlDriver | None,  # noqa: ARG001 - it needs none
    conf: Any,
    cache: Any,  # noqa: ARG001 - it is one
    clock: Clock,
    options: Mapping[str, Any],
    dead_letter_hooks: DeadLetterHooks,
) -> DataDriver:
    """Open the store for messages."""
    chosen = _options(uri, conf, options)
    return DataDriver(data_store(name_of(uri)), clock, chosen["max_message_size"], CAPABILITIES, dead_letter_hooks)


def open_control(
    uri: StoreUri,
    *,
    conf: Any,
    cache: Any,  # noqa: ARG001 - it is one
    clock: Clock,
) -> ControlDriver:
    """Open the store for the control plane."""
    _options(uri, conf, {})
    return ControlDriver(uri.text, control_store(name_of(uri)), clock)


def name_of(uri: StoreUri) -> str:
    """Return the name by which the process knows the store."""
    return uri.authority + uri.path.rstrip("/")


def _options(uri: StoreUri, conf: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    given = {**uri.options, **options}
    return settings.options(settings.MEMORY, given, where=str(uri), conf=conf, group=settings.MEMORY_GROUP)
