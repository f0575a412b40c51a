"""Subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.codec import project_key, project_of
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.drivers.subscriptions import SubscriptionController as Contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.times import StoreClock
    from kombu_pool.model import Project

_SQL = statements("subscriptions")


class SubscriptionController(Contract):
    """Subscriptions, the record of each queue in a row."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    def read(self, project: Project, queue: str) -> tuple[bytes, float]:
        found = self._database.row(_SQL["read"], (project_key(project), queue))
        return b"" if found is None else found[0], self._clock.time()

    def replace(self, project: Project, queue: str, before: bytes, after: bytes, ends: Sequence[float]) -> bool:
        scope = (project_key(project), queue)
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            found = connection.execute(_SQL["read"], scope).fetchone()
            if (b"" if found is None else found[0]) != before:
                return False
            connection.execute(_SQL["delete"], scope)
            if after:
                connection.execute(_SQL["store"], (*scope, after, min(ends)))
        return True

    def collect_some(self, limit: int) -> int:
        """Delete the expired subscriptions of up to ``limit`` queues; return their number."""
        queues = self._database.rows(_SQL["expired"], (self._clock.time(), limit))
        return sum(self.collect(project_of(project), queue) for project, queue in queues)
