"""The counters of queues, each a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.codec import project_key, project_of
from kombu_pool.drivers.sqlite.statements import statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.model import Project
    from kombu_pool.storage.counters import Increments

_SQL = statements("counters")


def add(database: Database, increments: Increments) -> None:
    """Add as :meth:`ControlDriver.add_counters` promises."""
    rows = [
        (name, count, project_key(project), queue, incarnation)
        for (project, queue, incarnation), counts in increments.items()
        for name, count in counts.items()
    ]
    if rows:
        with database.write, database.lock, database.begin_write() as connection:
            connection.executemany(_SQL["add"], rows)


def read(database: Database, queues: Sequence[tuple[Project, str]] | None) -> dict[tuple[Project, str], dict[str, int]]:
    """Return what :meth:`ControlDriver.counters` promises."""
    if queues is None:
        rows = database.rows(_SQL["all"])
    else:
        scopes = ((project_key(project), queue) for project, queue in dict.fromkeys(queues))
        rows = [row for scope in scopes for row in database.rows(_SQL["of_queue"], scope)]
    found: dict[tuple[Project, str], dict[str, int]] = {}
    for key, queue, name, total in rows:
        found.setdefault((project_of(key), queue), {})[name] = total
    return found
