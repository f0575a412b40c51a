"""A store in a SQLite file, shared by any number of processes of one machine: both planes, no server.

``sqlite:///relative.db`` and ``sqlite:////absolute.db``; the folder and the file are made when they are missing.
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
    control: AnyControlDriver | None,  # noqa: ARG001 - it needs none
    conf: Any,
    cache: Any,  # noqa: ARG001 - the file's pages are in memory anyway
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
    cache: Any,  # noqa: ARG001 - SQLite has its own
    clock: Clock,
) -> ControlDriver:
    """Open the file for the control plane."""
    return ControlDriver(locate(uri, {}, conf), clock, uri.options)


__all__ = ["CAPABILITIES", "open_control", "open_data"]
