"""The control plane in this process's memory."""

from __future__ import annotations

from kombu_pool.drivers.memory.control.driver import ControlDriver

__all__ = ["ControlDriver"]
