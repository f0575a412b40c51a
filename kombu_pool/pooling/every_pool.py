"""Makes one call in every pool at the same time, and waits for none longer than a second."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from kombu_pool import errors
from kombu_pool.pooling.pool_calls import call_all

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
    calls = {row["name"]: partial(_ask, catalog, row, call) for row in sorted(rows, key=lambda row: row["name"])}
    results = call_all(calls, TIMEOUT)
    failures = {name: found for name, found in results.items() if isinstance(found, errors.KombuPoolError)}
    answers = [found for name, found in results.items() if name not in failures and found is not None]
    return cast("list[Answer]", answers), failures


def _ask(catalog: Catalog, row: Pool, call: Callable[[PoolHandle], Answer]) -> Answer | None:
    """Make the call in a pool; return None if its store was never created."""
    pools, name = catalog.open_pools, row["name"]
    outage = pools.peek(name).recent_outage()
    if outage is not None:
        raise errors.PoolUnavailable(name, outage.reason)
    if not pools.is_created(row):
        return None
    try:
        with pools.get(name) as pool:
            return call(pool)
    except errors.PoolDoesNotExist:  # deleted meanwhile
        return None
