"""The control plane in a MongoDB."""

from __future__ import annotations

from kombu_pool.drivers.mongodb.control.driver import ControlDriver

__all__ = ["ControlDriver"]
