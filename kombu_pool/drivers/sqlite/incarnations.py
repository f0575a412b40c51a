"""Finds the queue of a call, which may name the incarnation that the queue must bear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.codec import project_key
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import QueueDoesNotExist

if TYPE_CHECKING:
    import sqlite3

    from kombu_pool.drivers.sqlite.codec import Row
    from kombu_pool.model import Project

_FIND = statements("queues")["find"]


def find_queue(connection: sqlite3.Connection, queue: str, project: Project, incarnation: str | None) -> Row | None:
    """Return the row of a queue as the statement ``find`` does; None if it is absent.

    Raises:
        QueueDoesNotExist: an ``incarnation`` is given, and there is no queue that bears it.
    """
    found: Row | None = connection.execute(_FIND, (project_key(project), queue)).fetchone()
    if incarnation is not None and (found is None or found[2] != incarnation):
        raise QueueDoesNotExist(queue, project)
    return found
