"""The catalogue, and the lives of queues that it tells."""

from __future__ import annotations

import math
import secrets
from typing import TYPE_CHECKING

from kombu_pool.drivers.moves import decode_move, encode_move
from kombu_pool.drivers.sqlite.codec import project_key, project_of
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import PoolDoesNotExist
from kombu_pool.model import CREATING, DELETING, EXPIRED, RESERVED, Assignment
from kombu_pool.storage import CatalogueController as Contract
from kombu_pool.storage.policy import write

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from kombu_pool.drivers.sqlite.codec import Row
    from kombu_pool.drivers.sqlite.control.registry import Registry
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.times import StoreClock
    from kombu_pool.model import CatalogueEntry, Expiry, Metadata, Project

_SQL = statements("catalogue")
_CONSUMERS = statements("consumers")
_RECORDS = statements("control_queues")
_COUNTERS = statements("counters")
_REMOVALS = (
    *(_RECORDS["delete"], _CONSUMERS["remove_lifetime"], _CONSUMERS["remove_holders"]),
    _COUNTERS["delete"],
)

_INCARNATION_BYTES = 12


class CatalogueController(Contract):
    """The catalogue in a table."""

    def __init__(self, database: Database, registry: Registry, clock: StoreClock) -> None:
        self._database = database
        self._registry = registry
        self._clock = clock

    def list(self, project: Project) -> Sequence[CatalogueEntry]:
        rows = self._database.rows(_SQL["all"], (project_key(project),))
        return [{"queue": queue, "project": project, "pool": pool} for queue, pool in rows]

    def insert(self, project: Project, queue: str, pool: str) -> None:
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            _assign(connection, (project_key(project), queue), pool, RESERVED)

    def delete(self, project: Project, queue: str, *, incarnation: str | None = None) -> None:
        scope = (project_key(project), queue)
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            if incarnation is None:
                connection.execute(_SQL["delete"], scope)
                connection.execute(_COUNTERS["delete"], scope)
            else:
                connection.execute(_SQL["end_deletion"], (*scope, incarnation))

    def drop_all(self) -> None:
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            connection.execute(_SQL["drop_all"])
            connection.execute(_COUNTERS["drop_all"])

    def find_until(self, project: Project, queue: str) -> tuple[Assignment | None, float]:
        found, expires = _stored(self._database.row(_SQL["find"], (project_key(project), queue)))
        now = self._clock.now()
        remaining = expires - now.elapsed
        if found is not None and found.state != DELETING and remaining <= 0:
            found = found._replace(state=EXPIRED)
        return found, now.wall + remaining

    def assign(
        self, project: Project, queue: str, pool: str, *, replaces: Assignment | None = None, lease: float | None = None
    ) -> tuple[Assignment, bool]:
        # Most calls find a queue that is already assigned, which needs no lock.
        scope = (project_key(project), queue)
        found, _ = _stored(self._database.row(_SQL["find"], scope))
        if found is not None and _stays(found, replaces):
            return found, False
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            found, _ = _stored(connection.execute(_SQL["find"], scope).fetchone())
            if found is not None and _stays(found, replaces):
                return found, False
            # In this transaction, like the replacement of the registry: neither overlooks the other.
            if not self._registry.has_pool(pool):
                raise PoolDoesNotExist(pool)
            if lease is None:
                return _assign(connection, scope, pool, RESERVED), True
            if connection.execute(_RECORDS["is_stored"], scope).fetchone() is None:
                connection.execute(_CONSUMERS["set_lifetime"], (*scope, lease, self._clock.elapsed()))
                connection.execute(_CONSUMERS["refresh"], scope)
            return _assign(connection, scope, pool, CREATING), True

    def activate(
        self,
        project: Project,
        queue: str,
        incarnation: str,
        metadata: Metadata | None = None,
        expiry: Expiry | None = None,
    ) -> bool:
        scope, record = (project_key(project), queue), write(metadata or {})
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            if not connection.execute(_SQL["activate"], (*scope, incarnation)).rowcount:
                return False
            if connection.execute(_RECORDS["create"], (*scope, record)).rowcount:
                _set_expiry(connection, scope, expiry, self._clock.elapsed())
        return True

    def begin_deletion(self, project: Project, queue: str, incarnation: str) -> bool:
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            return begin_deletion(connection, (project_key(project), queue), incarnation)

    def deletions(self, limit: int = 100) -> Sequence[tuple[Project, str, Assignment]]:
        return self._assignments(_SQL["deletions"], limit)

    def replace(self, project: Project, queue: str, found: Assignment, changed: Assignment) -> bool:
        scope = (project_key(project), queue)
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            present, expires = _stored(connection.execute(_SQL["find"], scope).fetchone())
            if present != found or expires <= self._clock.elapsed():
                return False
            for pool in changed.pools - found.pools:
                if not self._registry.has_pool(pool):
                    raise PoolDoesNotExist(pool)
            move = encode_move(changed.move) or None
            connection.execute(_SQL["replace"], (*changed[:3], move, *scope))
        return True

    def moves(self, limit: int = 1000) -> Sequence[tuple[Project, str, Assignment]]:
        return self._assignments(_SQL["moves"], limit)

    def _assignments(self, statement: str, limit: int) -> Sequence[tuple[Project, str, Assignment]]:
        rows = self._database.rows(statement, (limit,))
        return [
            (project_of(key), queue, Assignment(pool, incarnation, state, decode_move(move)))
            for key, queue, pool, incarnation, state, move in rows
        ]


def begin_deletion(connection: sqlite3.Connection, scope: tuple[str, str], incarnation: str | None) -> bool:
    """Begin the deletion of a queue as :meth:`CatalogueController.begin_deletion` promises; None: any incarnation."""
    if not connection.execute(_SQL["begin_deletion"], (*scope, incarnation)).rowcount:
        return False
    for statement in _REMOVALS:
        connection.execute(statement, scope)
    return True


def is_in_state(connection: sqlite3.Connection, scope: tuple[str, str], incarnation: str, *, deleting: bool) -> bool:
    """Return whether the queue's assignment has an incarnation, and whether it is DELETING is as given."""
    found, _ = _stored(connection.execute(_SQL["find"], scope).fetchone())
    return found is not None and found.incarnation == incarnation and (found.state == DELETING) is deleting


def _stored(row: Row | None) -> tuple[Assignment | None, float]:
    """Return an assignment as it is stored, and when its queue expires."""
    if row is None:
        return None, math.inf
    *assigned, expires = row
    if assigned[3] is not None:
        assigned[3] = decode_move(assigned[3])
    return Assignment(*assigned), math.inf if expires is None else expires


def _stays(found: Assignment, replaces: Assignment | None) -> bool:
    return found != replaces or found.state == DELETING


def _assign(connection: sqlite3.Connection, scope: tuple[str, str], pool: str, state: str) -> Assignment:
    assigned = Assignment(pool, secrets.token_hex(_INCARNATION_BYTES), state)
    connection.execute(_SQL["assign"], (*scope, *assigned[:3]))
    return assigned


def _set_expiry(connection: sqlite3.Connection, scope: tuple[str, str], expiry: Expiry | None, now: float) -> None:
    """Replace the lifetime of a new queue, which may be the lease of its creation, and add its first holder."""
    after, touched = (None, None) if expiry is None else (expiry.after, now if expiry.from_now else None)
    connection.execute(_CONSUMERS["reset_lifetime"], (*scope, after, touched))
    if expiry is not None and expiry.holder is not None:
        connection.execute(_CONSUMERS["add_holder"], (expiry.holder, *scope, now + expiry.holder_ttl, 0))
    connection.execute(_CONSUMERS["refresh"], scope)
