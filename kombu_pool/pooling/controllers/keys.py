"""What every pool does with the messages of keys, in one result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.errors import KombuPoolError, PoolUnavailable
from kombu_pool.model import KeyResult

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping

    from kombu_pool.model import Project
    from kombu_pool.pooling.pool_handle import PoolHandle


def merged(answers: Iterable[KeyResult], unreachable: Mapping[str, KombuPoolError]) -> KeyResult:
    """Return the answers of pools, and the errors of those that did not answer, as one result."""
    result = KeyResult(unreachable=dict(unreachable))
    for answer in answers:
        result.add(answer)
    return result


def cancel_in_pool(keys: Iterable[str], project: Project, pool: PoolHandle, has_answered: threading.Event) -> KeyResult:
    """Cancel the messages of many keys in a pool; an error ends it, and what was cancelled before is returned too."""
    result = KeyResult()
    for key in keys:
        try:
            result.add(pool.messages.cancel(key, None, project))
        except KombuPoolError as error:
            result.unreachable[pool.name] = _recorded(pool, error)
            break
        has_answered.set()
    return result


def _recorded(pool: PoolHandle, error: KombuPoolError) -> KombuPoolError:
    """Record an error of a pool, and return it as the pool's."""
    try:
        pool.record_error(error)
    except PoolUnavailable as outage:
        return outage
    return error
