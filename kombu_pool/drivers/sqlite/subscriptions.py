"""Subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.sqlite.codec import message_number, project_key
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import (
    ConfigurationError,
    QueueDoesNotExist,
    SubscriptionAlreadyExists,
    SubscriptionDoesNotExist,
)
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import SubscriptionController as Contract
from kombu_pool.storage.policy import read, write

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.model import Project, Subscription

_SQL = statements("subscriptions")
_CHANGEABLE = ("subscriber", "ttl", "options")


class SubscriptionController(Contract):
    """Subscriptions in a table."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def list(
        self, queue: str, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Iterator[Any]:
        after = message_number(marker) if marker else 0
        found = self._database.row(_SQL["queue"], (project_key(project), queue))
        if found is None or after < 0:
            return page([], str)
        now = self._clock.time()
        rows = self._database.rows(_SQL["page"], (found[0], after, now, limit or -1))
        return page([_view(queue, row, now) for row in rows], lambda item: str(item["id"]))

    def get(self, queue: str, subscription_id: str, project: Project = None) -> Subscription:
        now = self._clock.time()
        with self._database.read as connection:
            return _view(queue, _one(connection, queue, subscription_id, project, now), now)

    def get_with_subscriber(self, queue: str, subscriber: str, project: Project = None) -> Subscription:
        now = self._clock.time()
        with self._database.read as connection:
            found = _require(connection, queue, project)
            row = connection.execute(_SQL["of_subscriber"], (found, subscriber, now)).fetchone()
        if row is None:
            raise SubscriptionDoesNotExist(subscriber)
        return _view(queue, row, now)

    def create(
        self, queue: str, subscriber: str, ttl: float, options: Mapping[str, Any], project: Project = None
    ) -> str | None:
        stored = write(dict(options or {}))
        with self._database.write as connection:
            found, now = _require(connection, queue, project), self._clock.time()
            connection.execute(_SQL["remove_expired"], (found, subscriber, now))
            values = (found, subscriber, ttl or 0, now, now + ttl if ttl else None, stored)
            rows = connection.execute(_SQL["create"], values).fetchall()
        return str(rows[0][0]) if rows else None

    def update(self, queue: str, subscription_id: str, project: Project = None, **kwargs: Any) -> None:
        if not kwargs or not set(kwargs) <= set(_CHANGEABLE):
            raise ConfigurationError(f"a subscription can change {', '.join(_CHANGEABLE)}; given: {sorted(kwargs)}")
        options = write(dict(kwargs["options"] or {})) if "options" in kwargs else None
        with self._database.write as connection:
            now = self._clock.time()
            number = _one(connection, queue, subscription_id, project, now)[0]
            if "subscriber" in kwargs:
                _rename(connection, _require(connection, queue, project), number, kwargs["subscriber"], now)
            if "ttl" in kwargs:
                ttl = kwargs["ttl"] or 0
                connection.execute(_SQL["set_ttl"], (ttl, now + ttl if ttl else None, number))
            if options is not None:
                connection.execute(_SQL["set_options"], (options, number))

    def exists(self, queue: str, subscription_id: str, project: Project = None) -> bool:
        try:
            self.get(queue, subscription_id, project)
        except (QueueDoesNotExist, SubscriptionDoesNotExist):
            return False
        return True

    def delete(self, queue: str, subscription_id: str, project: Project = None) -> None:
        with self._database.write as connection:
            found = connection.execute(_SQL["queue"], (project_key(project), queue)).fetchone()
            if found is not None:
                connection.execute(_SQL["delete"], (message_number(subscription_id), found[0]))

    def confirm(self, queue: str, subscription_id: str, project: Project = None, confirmed: bool | None = None) -> None:
        with self._database.write as connection:
            number = _one(connection, queue, subscription_id, project, self._clock.time())[0]
            connection.execute(_SQL["confirm"], (int(confirmed is None or confirmed), number))


def _require(connection: sqlite3.Connection, queue: str, project: Project) -> int:
    found = connection.execute(_SQL["queue"], (project_key(project), queue)).fetchone()
    if found is None:
        raise QueueDoesNotExist(queue, project)
    return int(found[0])


def _one(connection: sqlite3.Connection, queue: str, subscription_id: str, project: Project, now: float) -> Any:
    found = _require(connection, queue, project)
    row = connection.execute(_SQL["one"], (message_number(subscription_id), found, now)).fetchone()
    if row is None:
        raise SubscriptionDoesNotExist(subscription_id)
    return row


def _rename(connection: sqlite3.Connection, queue: int, number: int, subscriber: str, now: float) -> None:
    connection.execute(_SQL["remove_expired"], (queue, subscriber, now))
    other = connection.execute(_SQL["of_subscriber"], (queue, subscriber, now)).fetchone()
    if other is not None and other[0] != number:
        raise SubscriptionAlreadyExists
    connection.execute(_SQL["set_subscriber"], (subscriber, number))


def _view(queue: str, row: Any, now: float) -> Subscription:
    number, subscriber, ttl, created, options, confirmed = row
    return {
        "id": str(number),
        "source": queue,
        "subscriber": subscriber,
        "ttl": ttl,
        "age": max(0, int(now - created)),
        "options": read(options),
        "confirmed": bool(confirmed),
    }
