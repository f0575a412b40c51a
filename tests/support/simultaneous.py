"""Runs a function in several processes at the same moment."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from tests.support.limits import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Barrier

#: What the functions import.
_PRELOADED = (
    *("kombu_pool.pooling", "kombu_pool.testing", "tests.support.conformance.child_programs"),
    "tests.support.conformance.declaring_process",
)
#: The barrier of this process, if it takes part in a race.
_barriers: list[Barrier] = []


def race(target: Callable[..., Any], *arguments: tuple[Any, ...]) -> list[Any]:
    """Run ``target`` in as many processes as there are arguments, all at once; return the results in order.

    The processes are forks of one that has only imported what they need: they start soon.
    """
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_PRELOADED])
    barrier = (context.Barrier(len(arguments)),)
    with ProcessPoolExecutor(len(arguments), context, _set_barrier, barrier) as processes:
        futures = [processes.submit(target, *each) for each in arguments]
        return [future.result(LIMIT) for future in futures]


def meet() -> None:
    """Wait, in one of these processes, until all of them call this."""
    _barriers[-1].wait(LIMIT)


def _set_barrier(barrier: Barrier) -> None:
    _barriers.append(barrier)
