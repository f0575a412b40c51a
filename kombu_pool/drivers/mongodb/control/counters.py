"""The counters of queues, each in the document of its queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import UpdateOne, WriteConcern

from kombu_pool.drivers.mongodb.codec import project_key, project_of
from kombu_pool.drivers.mongodb.control.tables import QUEUES
from kombu_pool.drivers.mongodb.store import queue_filter, queues_filter
from kombu_pool.model import DELETING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.model import Project
    from kombu_pool.storage.counters import Increments

#: Queues of one command.
_PAGE_SIZE = 500


def add(tables: Tables, increments: Increments) -> None:
    """Add as :meth:`ControlDriver.add_counters` promises."""
    updates = [
        UpdateOne(
            {**queue_filter(project, queue), "i": incarnation, "f": {"$ne": DELETING}},
            {"$inc": {f"n.{name}": count for name, count in counts.items()}},
        )
        for (project, queue, incarnation), counts in increments.items()
    ]
    # The loss of some counts in a failover harms nothing, and a wait for a majority would cost.
    queues = tables[QUEUES].with_options(write_concern=WriteConcern(w=1))
    with tables.client.translated():
        for start in range(0, len(updates), _PAGE_SIZE):
            queues.bulk_write(updates[start : start + _PAGE_SIZE], ordered=False)


def read(tables: Tables, queues: Sequence[tuple[Project, str]] | None) -> dict[tuple[Project, str], dict[str, int]]:
    """Return what :meth:`ControlDriver.counters` promises."""
    if queues is not None and not queues:
        return {}
    where = {} if queues is None else queues_filter([(project_key(project), queue) for project, queue in queues])
    with tables.client.translated():
        documents = [*tables[QUEUES].find({**where, "n": {"$gt": {}}}, {"p": 1, "q": 1, "n": 1})]
    return {(project_of(one["p"]), one["q"]): one["n"] for one in documents}
