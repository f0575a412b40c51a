"""Pools over any kind of store that can be switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.clock import SYSTEM_CLOCK
from tests.support.pooling.switchable_stores import Stores

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest


class Outages(Stores):
    """The pools' stores; each can be switched off by its name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pools: Mapping[str, str]) -> None:
        super().__init__(SYSTEM_CLOCK, monkeypatch)
        self._pools = pools

    def uri(self, name: str) -> str:
        return self._pools[name]
