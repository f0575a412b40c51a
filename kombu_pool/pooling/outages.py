"""The outages of pools as this process knows them, each logged once when it begins and once when it ends.

They outlive the connections and drivers that meet them: a producer opens new ones for each try of a publish.
"""

from __future__ import annotations

import logging
import os
from typing import NamedTuple, TypeAlias

logger = logging.getLogger(__name__)

#: The URI of the control store, and the name of the pool.
PoolKey: TypeAlias = tuple[str, str]


class Outage(NamedTuple):
    """When a pool became unreachable, in seconds since the epoch, and why."""

    since: float
    reason: str


#: The outages that have begun and not ended. Each use is one dictionary operation, so it needs no lock.
_current: dict[PoolKey, Outage] = {}


def current(key: PoolKey) -> Outage | None:
    """Return the pool's outage; None if it has none."""
    return _current.get(key)


def begin(key: PoolKey, outage: Outage) -> Outage:
    """Record an outage and return it; one that is recorded already keeps its start."""
    earlier = _current.setdefault(key, outage)
    if earlier is outage:
        logger.warning("Pool %r is unreachable (%s)", key[1], outage.reason)
    return outage._replace(since=earlier.since)


def end(key: PoolKey, now: float) -> None:
    """End the pool's outage, if it has one: its store answered."""
    outage = _current.pop(key, None)
    if outage is not None:
        logger.warning("Pool %r is reachable again after %.1f s", key[1], max(0.0, now - outage.since))


def forget(key: PoolKey) -> None:
    """End the pool's outage, if it has one: there is no such pool any more."""
    _current.pop(key, None)


# A child process has its own outages; its parent logs the end of those that the parent knows.
os.register_at_fork(after_in_child=_current.clear)
