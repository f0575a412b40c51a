"""Compared brokers that need a server, which runs during the measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmarks.brokers import Broker

    #: Yields an empty broker; the folder is for its files.
    Contender = Callable[[Path], AbstractContextManager[Broker]]
    #: Measures a broker with a number of messages or tasks.
    Measure = Callable[[Callable[[Path], Broker], int, Path], Any]


def sample(contender: Contender, measure: Measure, count: int, folder: Path) -> Any:
    """Measure a contender."""
    with contender(folder) as broker:
        return measure(lambda _: broker, count, folder)
