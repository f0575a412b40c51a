"""Ctrl-C for work that must not stop in the middle of a step."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def deferred_interrupt() -> Iterator[list[int]]:
    """Record the first Ctrl-C in the yielded list; the second one interrupts immediately."""
    received: list[int] = []

    def record(number: int, _: Any) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, record)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)
