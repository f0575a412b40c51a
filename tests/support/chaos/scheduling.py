"""Lets ``make chaos`` run two scenarios at a time: one that needs the processors, and one that mostly waits."""

from __future__ import annotations

import re

from xdist.scheduler import LoadScopeScheduling

#: What a test of the first lane is called by; both lanes take about as long.
BUSY = (re.compile(r"test_killed_workers\.py"), re.compile(r"test_random_operations\.py.*\bmongodb\b"))


class Lanes(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Gives all scenarios of a lane to one process, one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return "busy" if any(test.search(nodeid) for test in BUSY) else "patient"
