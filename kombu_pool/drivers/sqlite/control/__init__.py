"""The control plane in a SQLite file."""

from __future__ import annotations

from kombu_pool.drivers.sqlite.control.driver import ControlDriver

__all__ = ["ControlDriver"]
