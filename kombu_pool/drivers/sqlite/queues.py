"""The queues of the message store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.queue_stats import queue_stats
from kombu_pool.drivers.records import is_finite
from kombu_pool.drivers.sqlite.codec import project_key
from kombu_pool.drivers.sqlite.control.queues import QueueController as ControlQueueController
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.drivers.sqlite.states import advance
from kombu_pool.errors import IncarnationConflict, QueueDoesNotExist
from kombu_pool.model import NO_INCARNATION
from kombu_pool.storage.moving import is_sealed
from kombu_pool.storage.policy import policy_of, write

if TYPE_CHECKING:
    import sqlite3

    from kombu_pool.drivers.sqlite.codec import Row
    from kombu_pool.drivers.sqlite.collector import Collector
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.times import StoreClock
    from kombu_pool.model import Metadata, Project


_REMOVE_ARRIVAL = statements("moving")["remove_arrival"]


class QueueController(ControlQueueController):
    """The queues of a message store, with their messages."""

    subject = "queues"

    def __init__(self, database: Database, clock: StoreClock, collector: Collector) -> None:
        super().__init__(database, clock)
        self._collector = collector

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        stored = write(metadata)
        # Messages that have expired by now are deleted or dead-lettered by the metadata of until now.
        advance(self._database, self._require(name, project)[0], self._clock.now())
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            if not self._set_metadata(connection, (project_key(project), name), stored):
                raise QueueDoesNotExist(name, project)

    def _set_metadata(self, connection: sqlite3.Connection, scope: tuple[str, str], stored: bytes) -> bool:
        values = (stored, policy_of(stored).expires_to_dlq, *scope)
        return connection.execute(self._sql["set_metadata"], values).rowcount > 0

    def create(
        self,
        name: str,
        metadata: Metadata | None = None,
        project: Project = None,
        *,
        incarnation: str | None = None,
        replaces: str | None = None,
    ) -> bool:
        found = self._find(name, project)
        if found is not None:
            # Another process may have sealed it, whose write is perhaps not on the disk yet.
            may_trust = not self._database.has_unflushed and not is_sealed(found[2])
            if may_trust and _is_present(found, name, project, incarnation, replaces):
                return False
            advance(self._database, found[0], self._clock.now())  # as in set_metadata
        scope, stored, borne = (project_key(project), name), write(metadata or {}), incarnation or NO_INCARNATION
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            if connection.execute(self._sql["create"], (*scope, stored, borne)).rowcount:
                return True
            found = connection.execute(self._sql["find"], scope).fetchone()
            if _is_present(found, name, project, incarnation, replaces):
                self._database.flush_found()
                return False
            self._set_metadata(connection, scope, stored)
            connection.execute(self._sql["set_incarnation"], (borne, *scope))
            connection.execute(_REMOVE_ARRIVAL, found[:1])
        return True

    def delete(self, name: str, project: Project = None, *, incarnation: str | None = None) -> None:
        scope = (project_key(project), name)
        database = self._database
        if (
            database.has_unflushed
            or self.exists(name, project)
            or database.row(self._sql["has_subscription"], scope) is not None
        ):
            with self._database.write, self._database.lock, self._database.begin_write() as connection:
                found = connection.execute(self._sql["find"], scope).fetchone()
                if found is not None and incarnation not in (None, found[2]):
                    return
                connection.execute(self._sql["delete_subscriptions"], scope)
                connection.execute(self._sql["delete"], scope)
            if found is not None:
                self._database.wake()
        # Most queues are short: this removes all of their rows.
        self._collector.collect_deleted()

    def pause(self, name: str, project: Project = None) -> None:
        self._set_paused(name, project, paused=True)

    def resume(self, name: str, project: Project = None) -> None:
        self._set_paused(name, project, paused=False)
        self._database.wake()

    def _set_paused(self, name: str, project: Project, *, paused: bool) -> None:
        values = (paused, project_key(project), name)
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            if not connection.execute(self._sql["set_paused"], values).rowcount:
                raise QueueDoesNotExist(name, project)

    def _find(self, name: str, project: Project) -> Row | None:
        found: Row | None = self._database.row(self._sql["find"], (project_key(project), name))
        return found

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        (queue, _, _, paused), now = self._require(name, project), self._clock.now()
        advance(self._database, queue, now)
        with self._database.read, self._database.lock, self._database.begin_read() as connection:
            free, delayed = (
                connection.execute(self._sql[name], (queue, now.wall)).fetchone()
                for name in ("free_stats", "delayed_stats")
            )
            claimed = connection.execute(self._sql["claimed_stats"], (queue, now.elapsed)).fetchone()
            groups = [group for group in (free, delayed, claimed) if group[0]]
            ends = [number for group in groups for number in group[1:]]
            created = [(connection.execute(self._sql["created"], (number,)).fetchone()[0], number) for number in ends]
            created = [(time, number) for time, number in created if is_finite(time)]
        # By the time: messages from other stores have low ids, whatever their age.
        posted = [(str(number), time) for time, number in (min(created), max(created))] if created else []
        return queue_stats(claimed[0], free[0] + delayed[0], posted, now.wall, paused=bool(paused))


def _is_present(found: Row, name: str, project: Project, incarnation: str | None, replaces: str | None) -> bool:
    """Return whether a queue is the one to create; False if its incarnation is the one to replace.

    Raises:
        IncarnationConflict: it bears yet another one.
    """
    if incarnation in (None, found[2]):
        return True
    if replaces != found[2]:
        raise IncarnationConflict(name, project, found[2])
    return False
