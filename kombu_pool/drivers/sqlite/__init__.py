"""The SQLite driver: one file for both planes, shared by any number of processes of one machine, without a server.

``sqlite:///relative.db`` and ``sqlite:////absolute.db``; a missing folder or file is created.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.sqlite.control import ControlDriver
from kombu_pool.drivers.sqlite.driver import CAPABILITIES, DataDriver
from kombu_pool.drivers.sqlite.location import locate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.uri import StoreUri
    from kombu_pool.storage import ControlDriver as AnyControlDriver
    from kombu_pool.storage import DeadLetterHooks


def open_data(
    uri: StoreUri,
    *,
    control: AnyControlDriver | None,  # noqa: ARG001 - not needed
    conf: Any,
    cache: Any,  # noqa: ARG001 - SQLite caches the file's pages
    clock: Clock,
    options: Mapping[str, Any],
    dead_letter_hooks: DeadLetterHooks,
) -> DataDriver:
    """Open the file for messages."""
    return DataDriver(locate(uri, options, conf), clock, dead_letter_hooks)


def open_control(
    uri: StoreUri,
    *,
    conf: Any,
    cache: Any,  # noqa: ARG001 - SQLite caches the file's pages
    clock: Clock,
) -> ControlDriver:
    """Open the file for the control plane."""
    return ControlDriver(locate(uri, {}, conf), clock, uri.options)


__all__ = ["CAPABILITIES", "open_control", "open_data"]
