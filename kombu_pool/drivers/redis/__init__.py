"""A data and control store in a Redis, 6.2 or newer, or a Valkey: standalone, behind Sentinel, or a Redis Cluster.

``redis://``, ``rediss://`` (TLS), ``redis+socket://``, ``redis+sentinel://`` and ``redis+cluster://``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.redis.control import ControlDriver
from kombu_pool.drivers.redis.driver import CAPABILITIES, DataDriver
from kombu_pool.drivers.redis.location import locate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.uri import StoreUri
    from kombu_pool.storage import ControlDriver as AnyControlDriver
    from kombu_pool.storage import DeadLetterHooks


def open_data(
    uri: StoreUri,
    *,
    control: AnyControlDriver | None,  # noqa: ARG001 - it needs no control store
    conf: Any,
    cache: Any,  # noqa: ARG001 - scripts read the current state
    clock: Clock,
    options: Mapping[str, Any],
    dead_letter_hooks: DeadLetterHooks,
) -> DataDriver:
    """Open a message store; connects on first use."""
    return DataDriver(locate(uri, options, conf), clock, dead_letter_hooks)


def open_control(
    uri: StoreUri,
    *,
    conf: Any,
    cache: Any,  # noqa: ARG001 - the catalog caches assignments
    clock: Clock,
) -> ControlDriver:
    """Open a control store; connects on first use."""
    return ControlDriver(uri.text, locate(uri, {}, conf), clock)


__all__ = ["CAPABILITIES", "open_control", "open_data"]
