"""Makes one call in every pool at the same time, and waits for none longer than a second."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from kombu_pool import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.model import Pool
    from kombu_pool.pooling.catalog import Catalog
    from kombu_pool.pooling.pool_handle import PoolHandle

    Answer = TypeVar("Answer")

#: Longest wait for the answers of all pools together, in seconds.
TIMEOUT = 1.0


def in_every_pool(
    catalog: Catalog, call: Callable[[PoolHandle], Answer]
) -> tuple[list[Answer], dict[str, errors.KombuPoolError]]:
    """Return the answers of the pools, in the order of their names, and the errors of those that do not answer.

    A pool that failed less than a second ago is not asked. One that answers too late may do what it was asked for.
    """
    try:
        rows = catalog.open_pools.rows()
    except errors.ConnectionError:
        rows = catalog.open_pools.open_rows()
    until = time.monotonic() + TIMEOUT
    calls = [_Call(catalog, row, call) for row in sorted(rows, key=lambda row: row["name"])]
    answers: list[Answer] = []
    failures: dict[str, errors.KombuPoolError] = {}
    for each in calls:
        each.thread.join(max(0.0, until - time.monotonic()))
        if each.failure is not None:
            failures[each.name] = each.failure
        elif each.answer is not None:
            answers.append(each.answer)
        elif not each.is_done:
            failures[each.name] = errors.PoolUnavailable(each.name, f"no answer within {TIMEOUT:g} s")
    return answers, failures


class _Call:
    """A call in one pool, in a thread of its own: the client of a store that is down may wait for long."""

    def __init__(self, catalog: Catalog, row: Pool, call: Callable[[PoolHandle], object]) -> None:
        self.name = row["name"]
        self.answer: Any = None
        self.failure: errors.KombuPoolError | None = None
        self.is_done = False
        self._catalog = catalog
        self._row = row
        self._call = call
        self.thread = threading.Thread(target=self._run, name=f"kombu_pool call {self.name}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.answer = self._ask()
        except errors.KombuPoolError as error:
            self.failure = error
        except Exception as error:  # noqa: BLE001 - one pool must not stop the others
            self.failure = errors.PoolUnavailable(self.name, str(error) or type(error).__name__)
        self.is_done = True

    def _ask(self) -> object:
        pools = self._catalog.open_pools
        outage = pools.peek(self.name).recent_outage()
        if outage is not None:
            raise errors.PoolUnavailable(self.name, outage.reason)
        if not pools.is_created(self._row):
            return None
        try:
            with pools.get(self.name) as pool:
                return self._call(pool)
        except errors.PoolDoesNotExist:  # deleted meanwhile
            return None
