"""Makes calls for many pools at once, some of which may not answer."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from kombu_pool import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kombu_pool.model import Pool
    from kombu_pool.pooling.catalog import Catalog
    from kombu_pool.pooling.pool_handle import PoolHandle

T = TypeVar("T")

#: Longest wait of :func:`in_every_pool` for the answers of all pools together, in seconds.
TIMEOUT = 1.0


def call_all(calls: Mapping[str, Callable[[], T]], timeout: float) -> dict[str, T | errors.KombuPoolError]:
    """Make all calls at once, each for a pool; return their results and errors, by pool.

    A pool whose call has not returned after ``timeout`` seconds is unavailable; the call may go on.
    """
    return results({name: Call(name, partial(_call, call)) for name, call in calls.items()}, timeout)


def _call(call: Callable[[], T], _: threading.Event) -> T:
    return call()


def in_every_pool(
    catalog: Catalog, call: Callable[[PoolHandle, threading.Event], T]
) -> tuple[list[T], dict[str, errors.KombuPoolError]]:
    """Return the answers of the pools, in the order of their names, and the errors of those that do not answer.

    A pool that failed less than a second ago is not asked. One that answers too late may do what it was asked for; a
    call of many steps sets its event after the first, and may take its time then.
    """
    try:
        rows = catalog.open_pools.rows()
    except errors.ConnectionError:
        rows = catalog.open_pools.open_rows()
    rows = sorted(rows, key=lambda row: row["name"])
    found = results({row["name"]: Call(row["name"], partial(_ask_if_up, catalog, row, call)) for row in rows}, TIMEOUT)
    failures = {name: answer for name, answer in found.items() if isinstance(answer, errors.KombuPoolError)}
    answers = [answer for name, answer in found.items() if name not in failures and answer is not None]
    return cast("list[T]", answers), failures


def _ask_if_up(
    catalog: Catalog, row: Pool, call: Callable[[PoolHandle, threading.Event], T], is_alive: threading.Event
) -> T | None:
    """Make the call in a pool; return None if its store was never created."""
    pools, name = catalog.open_pools, row["name"]
    outage = pools.peek(name).recent_outage()
    if outage is not None:
        raise errors.PoolUnavailable(name, outage.reason)
    if not pools.is_created(row):
        return None
    try:
        with pools.get(name) as pool:
            return call(pool, is_alive)
    except errors.PoolDoesNotExist:  # deleted meanwhile
        return None


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
