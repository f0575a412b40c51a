"""The controller of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.mongodb.codec import NEVER, project_key, project_of
from kombu_pool.drivers.mongodb.control.holders import NewHolder
from kombu_pool.drivers.mongodb.control.lives import (
    NewAssignment,
    activation,
    assignment_filter,
    assignment_of,
    fields_of,
    find_deleting,
    replacement,
)
from kombu_pool.drivers.mongodb.control.tables import HAS_MOVE, MOVES, QUEUES, with_id
from kombu_pool.drivers.mongodb.store import queue_filter, queues_filter
from kombu_pool.errors import PoolDoesNotExist
from kombu_pool.model import CREATING, DELETING, EXPIRED
from kombu_pool.storage import CatalogueController as Contract
from kombu_pool.storage import QueueLookup
from kombu_pool.storage.policy import read, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from kombu_pool.drivers.mongodb.control.lifetimes import Lifetimes
    from kombu_pool.drivers.mongodb.control.lives import Lives
    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Assignment, CatalogueEntry, Expiry, Metadata, Project

#: Matches the assignments of existing queues.
_IS_ASSIGNED: dict[str, Any] = {"f": {"$gt": "", "$ne": DELETING}}


class CatalogueController(Contract):
    """Assignments, each in the document of its queue."""

    def __init__(self, tables: Tables, lives: Lives, lifetimes: Lifetimes) -> None:
        self._tables = tables
        self._client = tables.client
        self._lives = lives
        self._lifetimes = lifetimes

    def list(self, project: Project) -> Sequence[CatalogueEntry]:
        with self._client.translated():
            where = {"p": project_key(project), **_IS_ASSIGNED}
            found = [*self._tables[QUEUES].find(where, {"m": 0}, sort=[("q", 1)])]
            assigned = [(one["q"], assignment_of(self._lives.verified(one))) for one in found]
        return [
            {"queue": queue, "project": project, "pool": one.pool}
            for queue, one in assigned
            if one is not None and one.state != DELETING
        ]

    def insert(self, project: Project, queue: str, pool: str) -> None:
        with self._client.translated():
            self._tables.upsert(QUEUES, queue_filter(project, queue), NewAssignment(pool).insertion())

    def delete(self, project: Project, queue: str, *, incarnation: str | None = None) -> None:
        where = queue_filter(project, queue)
        with self._client.translated():
            if incarnation is not None:
                where.update(i=incarnation, f=DELETING)
                if self._tables[QUEUES].find_one(where, {"_id": 1}) is None:
                    return
                # The process that began the deletion may have died before it did.
                self._lives.remove_holders(queue_filter(project, queue), incarnation)
            self._tables.remove_part("assignment", where)

    def delete_many(self, queues: Sequence[tuple[Project, str, str]]) -> None:
        with self._client.translated():
            if found := find_deleting(self._tables, queues):
                self._lives.remove_holders_of_all(found)
                same = {key: {"$in": [one[key] for one in found]} for key in ("_id", "i")}
                self._tables.remove_parts("assignment", {**same, "f": DELETING})

    def drop_all(self) -> None:
        with self._client.translated():
            self._tables.remove_parts("assignment", {"i": {"$gt": ""}})

    def find_until(self, project: Project, queue: str) -> tuple[Assignment | None, float]:
        with self._client.translated():
            found = self._lives.read(queue_filter(project, queue))
            assigned, end = self._assignment_until(found)
        return assigned, self._lifetimes.to_driver_time(end)

    def look_up(self, project: Project, queue: str) -> QueueLookup:
        """Return the result of :meth:`ControlDriver.look_up`."""
        with self._client.translated():
            found = self._lives.read(queue_filter(project, queue), None)
            assigned, end = self._assignment_until(found)
        record = found.get("m") if found is not None and end > self._lifetimes.now() else None
        return QueueLookup(assigned, self._lifetimes.to_driver_time(end), None if record is None else read(record))

    def find_many(self, queues: Sequence[tuple[Project, str]]) -> Sequence[Assignment | None]:
        names = [(project_key(project), queue) for project, queue in queues]
        if not names:
            return []
        with self._client.translated():
            found = map(self._lives.verified, [*self._tables[QUEUES].find(queues_filter(names), {"m": 0})])
            assigned = {(one["p"], one["q"]): self._assignment_until(one)[0] for one in found if one is not None}
        return [assigned.get(name) for name in names]

    def _assignment_until(self, found: Mapping[str, Any] | None) -> tuple[Assignment | None, float]:
        end = NEVER if found is None else self._lifetimes.end(found)
        assigned = assignment_of(found)
        if assigned is not None and assigned.state != DELETING and end <= self._lifetimes.now():
            assigned = assigned._replace(state=EXPIRED)
        return assigned, end

    def assign(
        self, project: Project, queue: str, pool: str, *, replaces: Assignment | None = None, lease: float | None = None
    ) -> tuple[Assignment, bool]:
        new = NewAssignment(pool)
        update = new.update(replaces, lease, self._lifetimes.now())
        while True:
            with self._client.translated():
                found: Any = self._tables.upsert(QUEUES, queue_filter(project, queue), update)
                assigned: Any = assignment_of(found)
                if "u" not in found or self._lives.find_missing_pool(found) is None:
                    # The first reader marks it verified, so that registration does not wait for that.
                    if "o" in found.get("b", ()):
                        # But the pool that it replaced is in use until then.
                        self._lives.mark_verified(found)
                    return assigned, new.is_in(found)
            if new.is_in(found):
                raise PoolDoesNotExist(pool)

    def activate(
        self,
        project: Project,
        queue: str,
        incarnation: str,
        metadata: Metadata | None = None,
        expiry: Expiry | None = None,
    ) -> bool:
        where, now = queue_filter(project, queue), self._lifetimes.now()
        update = activation(write(metadata or {}), expiry, now)
        created = {**where, "i": incarnation, "f": CREATING}
        with self._client.translated():
            if expiry is None or expiry.holder is None:
                return self._tables[QUEUES].update_one(created, update).matched_count == 1
            first = NewHolder(self._tables, where, expiry.holder, incarnation)
            first.store(now + expiry.holder_ttl, consuming=False)
            found = self._tables[QUEUES].find_one_and_update(created, update, {"m": 1})
            if found is None or "m" in found:
                first.take_back()
            else:
                first.confirm()
        return found is not None

    def begin_deletion(self, project: Project, queue: str, incarnation: str) -> bool:
        with self._client.translated():
            return self._lives.begin_deletion(queue_filter(project, queue), incarnation)

    def replace(self, project: Project, queue: str, found: Assignment, changed: Assignment) -> bool:
        where = queue_filter(project, queue)
        with self._client.translated():
            # So that an unverified one is what it is, or was.
            if assignment_of(self._lives.read(where)) != found:
                return False
            present = {**where, **assignment_filter(found), "u": None}
            if not self._lifetimes.update_unexpired(present, replacement(found, changed), self._lifetimes.now()):
                return False
            return changed.pools <= found.pools or self._verify(where, changed)

    def _verify(self, where: Filter, changed: Assignment) -> bool:
        """Verify an assignment that uses more pools than the one before; return whether it stayed."""
        unverified = {**with_id(where), **fields_of(changed)}
        missing = self._lives.find_missing_pool(unverified)
        if missing is not None:
            raise PoolDoesNotExist(missing)
        # Another process may have verified it, or put back the one before while a pool was absent.
        return self._lives.mark_verified(unverified) or assignment_of(self._lives.read(where)) == changed

    def moves(self, limit: int = 1000) -> Sequence[tuple[Project, str, Assignment]]:
        with self._client.translated():
            cursor = self._tables[QUEUES].find(HAS_MOVE, {"m": 0}, limit=limit, hint=MOVES)
            return _assigned(map(self._lives.verified, [*cursor]))

    def deletions(self, limit: int = 100) -> Sequence[tuple[Project, str, Assignment]]:
        with self._client.translated():
            return _assigned(self._tables[QUEUES].find({"f": DELETING}, {"m": 0}, limit=limit))


def _assigned(found: Iterable[Mapping[str, Any] | None]) -> list[tuple[Project, str, Assignment]]:
    lives = ((one, assignment_of(one)) for one in found)
    return [(project_of(one["p"]), one["q"], life) for one, life in lives if one is not None and life is not None]
