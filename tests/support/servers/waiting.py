"""Waits for what a server is about to do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import redis
from pymongo.errors import PyMongoError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: Seconds within which whatever must happen has happened, on a machine that has much else to do.
LIMIT = 30.0
_PAUSE = 0.01


def first_answer(ask: Callable[[], T], within: float = LIMIT, why: Callable[[], str] = str) -> T:
    """Ask again until the answer is true, and return it. A server that cannot answer has not answered yet.

    Raises:
        TimeoutError: it never was, for the reason that ``why`` finds.
    """
    until = time.monotonic() + within
    while True:
        try:
            answer, problem = ask(), None
        except (redis.RedisError, PyMongoError, OSError) as error:
            answer, problem = None, error
        if answer:
            return answer
        if time.monotonic() > until:
            raise TimeoutError(f"not within {within} s: {why()}") from problem
        time.sleep(_PAUSE)
