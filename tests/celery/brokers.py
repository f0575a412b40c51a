"""The brokers that the workers of these tests use: one entry more runs all of them over another store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def sqlite(folder: Path) -> str:
    return f"pool+sqlite:///{folder}/broker.db"


#: How to make a broker URL of one's own in a new folder, by name.
BROKERS: dict[str, Callable[[Path], str]] = {"sqlite": sqlite}
