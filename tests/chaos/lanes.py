"""Lets ``make chaos`` run two scenarios at a time: one that needs the processors, and one that mostly waits."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

BUSY = ("test_killed_workers", "test_random_operations")


class Lanes(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Gives all scenarios of a lane to one process, one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return "busy" if any(f"{module}.py" in nodeid for module in BUSY) else "patient"
