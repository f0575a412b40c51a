"""Brokers that are compared, each with a server that runs for as long as it is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmarks.brokers import Broker

    #: Lends a broker without messages; the folder is for what it needs.
    Contender = Callable[[Path], AbstractContextManager[Broker]]
    #: Measures a broker, with so many messages or tasks.
    Measure = Callable[[Callable[[Path], Broker], int, Path], Any]


def sample(contender: Contender, measure: Measure, count: int, folder: Path) -> Any:
    """Let a contender be measured."""
    with contender(folder) as broker:
        return measure(lambda _: broker, count, folder)
