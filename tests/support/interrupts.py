"""Raises an exception at each point of a call where a signal handler may raise one.

CPython runs signal handlers after a call of a function in C and at the begin of a function in Python. Those are the
events of a profiler, which may raise.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_EVENTS = {"call", "c_return"}


class Interrupted(BaseException):
    """What the signal handler raises."""


def interruptions(
    action: Callable[[], Any], every: int = 1, again: int = 0, within: str = ""
) -> Iterator[tuple[int, BaseException]]:
    """Call ``action`` again and again, and interrupt it at one point later each time, until it ends by itself.

    With ``again`` it is interrupted once more, so many points later. With ``within`` only the code of this package is
    interrupted. Yields the number of the point and the exception, whose frames are alive until the next call.
    """
    point = 1
    while (error := _interrupt_at(action, point, again, within)) is not None:
        yield point, error
        point += every


def _interrupt_at(action: Callable[[], Any], point: int, again: int, within: str) -> BaseException | None:
    points = [point, again] if again else [point]

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event in _EVENTS and points and frame.f_globals["__name__"].startswith(within):
            points[0] -= 1
            if not points[0]:
                del points[0]
                raise Interrupted

    sys.setprofile(profile)
    try:
        action()
    except Interrupted as error:
        return error
    finally:
        sys.setprofile(None)
    # An exception that code swallows, as one of a finalizer, was raised nevertheless.
    return None if len(points) == 1 + bool(again) else Interrupted()
