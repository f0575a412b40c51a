"""The queues of the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.sqlite.codec import project_key
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import QueueController as Contract
from kombu_pool.storage.policy import read, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.drivers.sqlite.codec import Row
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.times import StoreClock
    from kombu_pool.model import Metadata, Project

#: Queues that one query reads if a filter may skip some of them.
_CHUNK = 500


class QueueController(Contract):
    """The names and the metadata of queues."""

    #: The file of statements.
    subject = "control_queues"

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock
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
        views: list[dict[str, Any]] = []
        for found, metadata in self._matching(project, marker, name or "", limit if not kfilter else 0):
            if limit and len(views) == limit:
                break
            given = read(metadata) if kfilter or detailed else {}
            if all(key in given and given[key] == value for key, value in kfilter.items()):
                views.append({"name": found, "metadata": given} if detailed else {"name": found})
        return page(views, lambda item: str(item["name"]))

    def _matching(self, project: Project, marker: str | None, part: str, limit: int) -> Iterator[tuple[str, bytes]]:
        values = {"project": project_key(project), "part": part, "limit": limit or _CHUNK, "marker": marker or None}
        while True:
            rows = self._database.rows(self._sql["page"], {**values, "start": values["marker"] or ""})
            yield from rows
            if len(rows) < _CHUNK or limit:
                return
            values["marker"] = rows[-1][0]

    def get(self, name: str, project: Project = None) -> Metadata:
        return read(self._require(name, project)[1])

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        values = (write(metadata), project_key(project), name)
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            if not connection.execute(self._sql["set_metadata"], (*values, self._clock.elapsed())).rowcount:
                raise QueueDoesNotExist(name, project)

    def create(
        self,
        name: str,
        metadata: Metadata | None = None,
        project: Project = None,
        *,
        incarnation: str | None = None,
        replaces: str | None = None,
    ) -> bool:
        if not self._database.has_unflushed and self.exists(name, project):
            return False
        values = (project_key(project), name, write(metadata or {}))
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            return connection.execute(self._sql["create"], values).rowcount > 0

    def exists(self, name: str, project: Project = None) -> bool:
        return self._find(name, project) is not None

    def delete(self, name: str, project: Project = None, *, incarnation: str | None = None) -> None:
        scope = (project_key(project), name)
        if self._database.has_unflushed or self._database.row(self._sql["is_stored"], scope) is not None:
            with self._database.write, self._database.lock, self._database.begin_write() as connection:
                connection.execute(self._sql["delete"], scope)

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        self._require(name, project)
        return {"messages": {"claimed": 0, "free": 0, "total": 0}}

    def calculate_resource_count(self, project: Project = None) -> int:
        return int(self._database.row(self._sql["total"], (project_key(project),))[0])

    def _find(self, name: str, project: Project) -> Row | None:
        values = (project_key(project), name, self._clock.elapsed())
        found: Row | None = self._database.row(self._sql["find"], values)
        return found

    def _require(self, name: str, project: Project) -> Row:
        found = self._find(name, project)
        if found is None:
            raise QueueDoesNotExist(name, project)
        return found
