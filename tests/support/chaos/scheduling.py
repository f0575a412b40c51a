"""Runs two scenarios of ``make chaos`` at a time: one that uses the processors, and one that mostly waits."""

from __future__ import annotations

import re

from xdist.scheduler import LoadScopeScheduling

#: Node ids of the scenarios in the first group; both groups take about as long.
CPU_BOUND = (re.compile(r"test_killed_workers\.py"), re.compile(r"test_random_operations\.py.*\bmongodb\b"))


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Runs all scenarios of a group in one process, one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return "cpu-bound" if any(test.search(nodeid) for test in CPU_BOUND) else "waiting"
