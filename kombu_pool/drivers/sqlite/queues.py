"""Queues, of either plane: which statements they run makes the difference."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.sqlite.scope import project_key
from kombu_pool.drivers.sqlite.settling import settle
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import QueueController as Contract
from kombu_pool.storage.policy import policy_of, read, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.sqlite.collector import Collector
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.model import Metadata, Project

_STATES = ("free_stats", "delayed_stats", "claimed_stats")
# Queues that are looked at in one read when a filter passes most of them over.
_AT_ONCE = 500


class RecordedQueues(Contract):
    """The control plane's queues: their names and their metadata."""

    subject = "records"

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements(self.subject)

    def list(
        self,
        project: Project = None,
        kfilter: Mapping[str, Any] = {},
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        detailed: bool = False,
        name: str | None = None,
    ) -> Iterator[Any]:
        shown: list[dict[str, Any]] = []
        for found, metadata in self._matching(project, marker, name or "", limit if not kfilter else 0):
            if limit and len(shown) == limit:
                break
            given = read(metadata) if kfilter or detailed else {}
            if all(key in given and given[key] == value for key, value in kfilter.items()):
                shown.append({"name": found, "metadata": given} if detailed else {"name": found})
        return page(shown, lambda item: str(item["name"]))

    def _matching(self, project: Project, marker: str | None, part: str, limit: int) -> Iterator[tuple[str, bytes]]:
        values = {"project": project_key(project), "part": part, "limit": limit or _AT_ONCE, "marker": marker or None}
        while True:
            rows = self._database.rows(self._sql["page"], {**values, "start": values["marker"] or ""})
            yield from rows
            if len(rows) < _AT_ONCE or limit:
                return
            values["marker"] = rows[-1][0]

    def get(self, name: str, project: Project = None) -> Metadata:
        return read(self._require(name, project)[1])

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        values = (write(metadata), project_key(project), name)
        with self._database.write as connection:
            if not connection.execute(self._sql["set_metadata"], values).rowcount:
                raise QueueDoesNotExist(name, project)

    def create(self, name: str, metadata: Metadata | None = None, project: Project = None) -> bool:
        if self.exists(name, project):
            return False
        values = (project_key(project), name, write(metadata or {}))
        with self._database.write as connection:
            return connection.execute(self._sql["create"], values).rowcount > 0

    def exists(self, name: str, project: Project = None) -> bool:
        return self._find(name, project) is not None

    def delete(self, name: str, project: Project = None) -> None:
        if self.exists(name, project):
            with self._database.write as connection:
                connection.execute(self._sql["forget"], (project_key(project), name))

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        self._require(name, project)
        return {"messages": {"claimed": 0, "free": 0, "total": 0}}

    def calculate_resource_count(self, project: Project = None) -> int:
        return int(self._database.row(self._sql["total"], (project_key(project),))[0])

    def _find(self, name: str, project: Project) -> tuple[int, bytes] | None:
        found: tuple[int, bytes] | None = self._database.row(self._sql["find"], (project_key(project), name))
        return found

    def _require(self, name: str, project: Project) -> tuple[int, bytes]:
        found = self._find(name, project)
        if found is None:
            raise QueueDoesNotExist(name, project)
        return found


class StoredQueues(RecordedQueues):
    """The message store's queues, with all that is in them."""

    subject = "queues"

    def __init__(self, database: Database, clock: Clock, collector: Collector) -> None:
        super().__init__(database)
        self._clock = clock
        self._collector = collector

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        stored = write(metadata)
        # What has expired until now is buried, or not, by the metadata of until now.
        settle(self._database, self._require(name, project)[0], self._clock.time())
        values = (stored, policy_of(stored).expires_to_dlq, project_key(project), name)
        with self._database.write as connection:
            if not connection.execute(self._sql["set_metadata"], values).rowcount:
                raise QueueDoesNotExist(name, project)

    def delete(self, name: str, project: Project = None) -> None:
        super().delete(name, project)
        # Most queues are short: those are gone for good now.
        self._collector.collect_deleted()

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        queue, now = self._require(name, project)[0], self._clock.time()
        settle(self._database, queue, now)
        with self._database.read as connection:
            free, delayed, claimed = (connection.execute(self._sql[s], (queue, now)).fetchone() for s in _STATES)
            groups = [group for group in (free, delayed, claimed) if group[0]]
            ends = [min(group[1] for group in groups), max(group[2] for group in groups)] if groups else []
            created = [connection.execute(self._sql["created"], (number,)).fetchone()[0] for number in ends]
        waiting = free[0] + delayed[0]
        messages: dict[str, Any] = {"claimed": claimed[0], "free": waiting, "total": waiting + claimed[0]}
        for which, number, moment in zip(("oldest", "newest"), ends, created, strict=False):
            messages[which] = _summary(number, moment, now)
        return {"messages": messages}


def _summary(number: int, moment: float, now: float) -> dict[str, Any]:
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
    return {"id": str(number), "age": max(0, int(now - moment)), "created": created}
