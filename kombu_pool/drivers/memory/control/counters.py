"""The counters of queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.model import DELETING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.memory.control.store import ControlStore
    from kombu_pool.model import Project
    from kombu_pool.storage.counters import Increments


def add(store: ControlStore, increments: Increments) -> None:
    """Add as :meth:`ControlDriver.add_counters` promises."""
    with store.lock:
        for (project, queue, incarnation), counts in increments.items():
            found = store.catalogue.get((project, queue))
            if found is None or found.state == DELETING or found.incarnation != incarnation:
                continue
            sums = store.counters.setdefault((project, queue), {})
            for name, count in counts.items():
                sums[name] = sums.get(name, 0) + count


def read(
    store: ControlStore, queues: Sequence[tuple[Project, str]] | None
) -> dict[tuple[Project, str], dict[str, int]]:
    """Return what :meth:`ControlDriver.counters` promises."""
    with store.lock:
        wanted = list(store.counters) if queues is None else queues
        return {scope: dict(store.counters[scope]) for scope in wanted if scope in store.counters}
