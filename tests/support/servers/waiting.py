"""Waits for a condition of a server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import redis
from pymongo.errors import PyMongoError

from tests.support.limits import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_PAUSE = 0.01


def first_answer(ask: Callable[[], T], within: float = LIMIT, why: Callable[[], str] = str) -> T:
    """Call ``ask`` until its answer is true, and return it. An error of the client counts as no answer.

    Raises:
        TimeoutError: the answer stayed false; the text includes the result of ``why``.
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
