"""Makes calls for many pools at once, some of which may not answer."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from kombu_pool import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


def call_all(calls: Mapping[str, Callable[[], T]], timeout: float) -> dict[str, T | errors.KombuPoolError]:
    """Make all calls at once, each for a pool; return their results and errors, by pool.

    A pool whose call has not returned after ``timeout`` seconds is unavailable; the call may go on.
    """
    return results({name: Call(name, partial(_call, call)) for name, call in calls.items()}, timeout)


def _call(call: Callable[[], T], _: threading.Event) -> T:
    return call()


class Call(Generic[T]):
    """A call for one pool, in a thread of its own, which does not keep the process alive."""

    def __init__(self, name: str, call: Callable[[threading.Event], T]) -> None:
        self._name = name
        self._call = call
        self._is_alive = threading.Event()
        self._is_done = threading.Event()
        self._result: T | errors.KombuPoolError
        threading.Thread(target=self._run, name=f"kombu_pool-ask-{name}", daemon=True).start()

    def result(self, deadline: float, timeout: float) -> T | errors.KombuPoolError:
        """Return the result or the error."""
        if not self._is_alive.wait(max(0.0, deadline - time.monotonic())):
            return errors.PoolUnavailable(self._name, f"no answer within {timeout:g} s")
        self._is_done.wait()
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._call(self._is_alive)
        except errors.KombuPoolError as error:
            self._result = error
        except Exception as error:  # noqa: BLE001 - the error of one pool must not hide the others
            self._result = errors.StoreError(str(error) or type(error).__name__)
        self._is_done.set()
        self._is_alive.set()


def results(calls: Mapping[str, Call[T]], timeout: float) -> dict[str, T | errors.KombuPoolError]:
    """Return the results and errors of calls, by pool."""
    deadline = time.monotonic() + timeout
    return {name: call.result(deadline, timeout) for name, call in calls.items()}
