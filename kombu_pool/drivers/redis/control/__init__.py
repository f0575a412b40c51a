"""The control plane in a Redis."""

from __future__ import annotations

from kombu_pool.drivers.redis.control.driver import ControlDriver

__all__ = ["ControlDriver"]
