"""A store in a MongoDB, 4.4 or newer: standalone, a replica set, or sharded.

``mongodb://`` and ``mongodb+srv://``.
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
    control: ControlDriver | None,  # noqa: ARG001 - it needs none
    conf: Any,
    cache: Any,  # noqa: ARG001 - what may change under a cache is asked for
    clock: Clock,
    options: Mapping[str, Any],
    dead_letter_hooks: DeadLetterHooks,
) -> DataDriver:
    """Open the MongoDB for messages."""
    return DataDriver(locate(uri, options, conf), clock, dead_letter_hooks)


def open_control(
    uri: StoreUri,
    *,
    conf: Any,
    cache: Any,  # noqa: ARG001 - as above
    clock: Clock,
) -> ControlDriver:
    """Open the MongoDB for the catalogue and what belongs to it."""
    return ControlDriver(uri.text, locate(uri, {}, conf), clock)


__all__ = ["CAPABILITIES", "open_control", "open_data"]
