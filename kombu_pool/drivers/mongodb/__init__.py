"""The driver for MongoDB 4.4 or newer, for ``mongodb://`` and ``mongodb+srv://``.

The server is standalone, a replica set, or a sharded cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb.control import ControlDriver
from kombu_pool.drivers.mongodb.driver import CAPABILITIES, DataDriver
from kombu_pool.drivers.mongodb.location import locate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.uri import StoreUri
    from kombu_pool.storage import DeadLetterHooks


def open_data(
    uri: StoreUri,
    *,
    control: ControlDriver | None,  # noqa: ARG001 - not needed
    conf: Any,
    cache: Any,  # noqa: ARG001 - queues have a cache of their own
    clock: Clock,
    options: Mapping[str, Any],
    dead_letter_hooks: DeadLetterHooks,
) -> DataDriver:
    """Open a message store."""
    return DataDriver(locate(uri, options, conf), clock, dead_letter_hooks)


def open_control(
    uri: StoreUri,
    *,
    conf: Any,
    cache: Any,  # noqa: ARG001 - not needed
    clock: Clock,
) -> ControlDriver:
    """Open a control store."""
    return ControlDriver(uri.text, locate(uri, {}, conf), clock)


__all__ = ["CAPABILITIES", "open_control", "open_data"]
