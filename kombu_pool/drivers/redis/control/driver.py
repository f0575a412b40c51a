"""The control store's driver."""

from __future__ import annotations

from kombu_pool.storage import ControlDriver as Contract


class ControlDriver(Contract):
    """The control plane in one Redis."""
