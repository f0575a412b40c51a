"""One question to many pools at once, some of which may not answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from kombu_pool import errors
from kombu_pool.pooling.pool_calls import Call, results

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from kombu_pool.model import Pool
    from kombu_pool.pooling.driver import DataDriver
    from kombu_pool.pooling.pool_handle import PoolHandle

T = TypeVar("T")


def ask_pools(
    driver: DataDriver, questions: Mapping[str, Callable[[PoolHandle], T]], timeout: float
) -> dict[str, T | errors.KombuPoolError]:
    """Make one call in each of the named pools, all at once; return the answers and the errors, by pool.

    A pool that has not answered anything after ``timeout`` seconds is unavailable; one that has may take its time. No
    store is created: one that does not exist is unavailable, too.
    """
    rows = {row["name"]: row for row in driver.catalog.rows()}
    asked = {name: Call(name, partial(_ask, driver, rows.get(name), name, call)) for name, call in questions.items()}
    return results(asked, timeout)


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
