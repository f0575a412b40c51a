"""The holders and the lifetimes of queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.codec import project_key, project_of
from kombu_pool.drivers.sqlite.control.catalogue import begin_deletion, is_in_state
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.storage import ConsumersController as Contract

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.times import StoreClock
    from kombu_pool.model import Project

_SQL = statements("consumers")
#: Seconds after its death for which a holder may still be renewed.
_STALE_AFTER = 86_400.0
_LAST_CHARACTER = "\U0010ffff"
#: Stale holders that one call removes at most.
_STALE_LIMIT = 20


class ConsumersController(Contract):
    """Holders and lifetimes in tables; each change computes again when the queue expires."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    def set_lifetime(self, queue: str, after: float, project: Project = None, from_now: bool = False) -> None:
        scope = (project_key(project), queue)
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            touched = self._clock.elapsed() if from_now else None
            connection.execute(_SQL["set_lifetime"], (*scope, after, touched))
            connection.execute(_SQL["refresh"], scope)

    def touch(self, queue: str, project: Project = None) -> bool:
        scope = (project_key(project), queue)
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            now = self._clock.elapsed()
            if _is_expired(connection, scope, now):
                return False
            connection.execute(_SQL["touch"], (now, *scope))
            connection.execute(_SQL["refresh"], scope)
        return True

    def add_holder(
        self,
        queue: str,
        holder: str,
        ttl: float,
        project: Project = None,
        consuming: bool = True,
        *,
        incarnation: str | None = None,
    ) -> bool:
        scope = (project_key(project), queue)
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            now = self._clock.elapsed()
            if incarnation is not None and (
                not is_in_state(connection, scope, incarnation, deleting=False) or _is_expired(connection, scope, now)
            ):
                return False
            connection.execute(_SQL["add_queue"], scope)
            connection.execute(_SQL["add_holder"], (holder, *scope, now + ttl, int(consuming)))
            connection.execute(_SQL["refresh"], scope)
            stale = connection.execute(_SQL["stale_holders"], (now - _STALE_AFTER, _STALE_LIMIT)).fetchall()
            _remove_holders(connection, [name for (name,) in stale], now)
        return True

    def renew(self, holders: Sequence[str], ttl: float) -> Sequence[str]:
        gone: list[str] = []
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            ends = self._clock.elapsed() + ttl
            scopes: set[tuple[str, str]] = set()
            for holder in dict.fromkeys(holders):
                held = connection.execute(_SQL["renew"], (ends, holder)).fetchall()
                scopes.update(held)
                if not held:
                    gone.append(holder)
            connection.executemany(_SQL["refresh"], scopes)
        return gone

    def holders(self, prefix: str) -> Sequence[str]:
        rows = self._database.rows(_SQL["live"], (prefix, prefix + _LAST_CHARACTER, self._clock.elapsed()))
        return [name for (name,) in rows]

    def remove_holders(self, holders: Sequence[str]) -> None:
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            _remove_holders(connection, holders, self._clock.elapsed())

    def count(self, queue: str, project: Project = None) -> int:
        return int(self._database.row(_SQL["count"], (project_key(project), queue, self._clock.elapsed()))[0])

    def consumers(self, queue: str, project: Project = None) -> Sequence[str]:
        rows = self._database.rows(_SQL["consumers"], (project_key(project), queue, self._clock.elapsed()))
        return [name for (name,) in rows]

    def expired_queues(self, limit: int = 100) -> Sequence[tuple[Project, str]]:
        rows = self._database.rows(_SQL["expired"], (self._clock.elapsed(), limit))
        return [(project_of(key), queue) for key, queue in rows]

    def expire(self, queue: str, project: Project = None, *, unused: str | None = None) -> bool:
        scope = (project_key(project), queue)
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            now = self._clock.elapsed()
            if unused is not None:
                assigned = is_in_state(connection, scope, unused, deleting=False)
                if not assigned or _is_consumed(connection, scope, now):
                    return False
            elif not _is_expired(connection, scope, now):
                return False
            if not begin_deletion(connection, scope, incarnation=None):
                _forget(connection, scope)
        return True


def _is_expired(connection: sqlite3.Connection, scope: tuple[str, str], now: float) -> bool:
    return connection.execute(_SQL["is_expired"], (*scope, now)).fetchone() is not None


def _is_consumed(connection: sqlite3.Connection, scope: tuple[str, str], now: float) -> bool:
    return bool(connection.execute(_SQL["count"], (*scope, now)).fetchone()[0])


def _forget(connection: sqlite3.Connection, scope: tuple[str, str]) -> None:
    connection.execute(_SQL["remove_lifetime"], scope)
    connection.execute(_SQL["remove_holders"], scope)


def _remove_holders(connection: sqlite3.Connection, holders: Iterable[str], now: float) -> None:
    for holder in holders:
        for key, queue, ends in connection.execute(_SQL["remove_holder"], (holder,)).fetchall():
            # A removal counts as the holder's death, which may have been earlier.
            connection.execute(_SQL["used"], (min(ends, now), key, queue))
            connection.execute(_SQL["refresh"], (key, queue))
