"""Tools for the tests of a driver of one's own; :mod:`kombu_pool.testing.conformance` is the suite.

Needs the extra ``kombu-pool[testing]``. No other module of the package imports this one.
"""

from __future__ import annotations

from kombu_pool.testing.clock import ManualClock
from kombu_pool.testing.handles import UNKNOWN_ID, ClaimResult, QueueHandle, bodies, ids, page_of
from kombu_pool.testing.stores import UNREADABLE, Store, memory_uri

__all__ = [
    "UNKNOWN_ID",
    "UNREADABLE",
    "ClaimResult",
    "ManualClock",
    "QueueHandle",
    "Store",
    "bodies",
    "ids",
    "memory_uri",
    "page_of",
]
