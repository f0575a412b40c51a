"""One question to many pools at once, some of which may not answer."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from kombu_pool import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kombu_pool.model import Pool
    from kombu_pool.pooling.driver import DataDriver
    from kombu_pool.pooling.pool_handle import PoolHandle

T = TypeVar("T")


def call_all(calls: Mapping[str, Callable[[], T]], timeout: float) -> dict[str, T | errors.KombuPoolError]:
    """Make all calls at once, each for a pool; return their results and errors, by pool.

    A pool whose call has not returned after ``timeout`` seconds is unavailable.
    """
    return _results({name: _Call(name, partial(_call, call)) for name, call in calls.items()}, timeout)


def ask_pools(
    driver: DataDriver, questions: Mapping[str, Callable[[PoolHandle], T]], timeout: float
) -> dict[str, T | errors.KombuPoolError]:
    """Make one call in each of the named pools, all at once; return the answers and the errors, by pool.

    A pool that has not answered anything after ``timeout`` seconds is unavailable; one that has may take its time. No
    store is created: one that does not exist is unavailable, too.
    """
    rows = {row["name"]: row for row in driver.catalog.rows()}
    asked = {name: _Call(name, partial(_ask, driver, rows.get(name), name, call)) for name, call in questions.items()}
    return _results(asked, timeout)


def _call(call: Callable[[], T], _: threading.Event) -> T:
    return call()


def _ask(
    driver: DataDriver,
    row: Pool | None,
    name: str,
    call: Callable[[PoolHandle], T],
    is_alive: threading.Event,
) -> T:
    if row is None:
        raise errors.PoolDoesNotExist(name)
    pool = driver.existing_pool(row)
    with pool:
        pool.queues.exists("")
    is_alive.set()
    with pool:
        return call(pool)


class _Call(Generic[T]):
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


def _results(calls: Mapping[str, _Call[T]], timeout: float) -> dict[str, T | errors.KombuPoolError]:
    deadline = time.monotonic() + timeout
    return {name: call.result(deadline, timeout) for name, call in calls.items()}
