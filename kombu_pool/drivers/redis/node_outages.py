"""The outages of nodes of clusters as this process knows them, each logged once when it begins and once when it ends.

They outlive the clients that meet them: a producer opens a new one for each try of a publish.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

logger = logging.getLogger(__name__)

#: Cluster and node -> the beginning of the outage. Each use is one dictionary operation, so it needs no lock.
current: dict[tuple[str, str], float] = {}


def begin(cluster: str, node: str, reason: str) -> None:
    """Record that a node is unreachable."""
    now = time.monotonic()
    if current.setdefault((cluster, node), now) is now:
        logger.warning("%s: node %s is unreachable (%s); its queues wait for it", cluster, node, reason)


def end(cluster: str, node: str, masters: Collection[str]) -> None:
    """Record that a node answered, and that those nodes of its cluster are no masters any more that are not given."""
    for where, other in list(current):
        if where == cluster and (other == node or other not in masters):
            begun = current.pop((where, other), None)
            if begun is not None:
                what = "is reachable again" if other == node else "was replaced"
                logger.warning("%s: node %s %s after %.1f s", cluster, other, what, time.monotonic() - begun)


# A child process has its own outages; its parent logs the end of those that the parent knows.
os.register_at_fork(after_in_child=current.clear)
