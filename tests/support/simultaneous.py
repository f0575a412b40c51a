"""Processes that do something at the same moment."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Barrier

#: Seconds within which all of them have come to where they meet, and have done what they do.
LIMIT = 20

#: Of a process that takes part: where they meet.
_barriers: list[Barrier] = []


def race(target: Callable[..., Any], *arguments: tuple[Any, ...]) -> list[Any]:
    """Run ``target`` in as many processes as there are arguments, all at once; return their answers."""
    spawning = multiprocessing.get_context("spawn")
    together = (spawning.Barrier(len(arguments)),)
    with ProcessPoolExecutor(len(arguments), spawning, _take_part, together) as processes:
        running = [processes.submit(target, *given) for given in arguments]
        return [found.result(LIMIT) for found in running]


def meet() -> None:
    """Wait, in one of these processes, until all of them are here."""
    _barriers[-1].wait(LIMIT)


def _take_part(barrier: Barrier) -> None:
    _barriers.append(barrier)
