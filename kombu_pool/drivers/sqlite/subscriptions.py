"""Subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.sqlite.codec import message_number, project_key
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import SubscriptionAlreadyExists, SubscriptionDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import SubscriptionController as Contract
from kombu_pool.storage.policy import read, write
from kombu_pool.storage.validation import check_subscription_changes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.model import Project, Subscription

_SQL = statements("subscriptions")


class SubscriptionController(Contract):
    """Subscriptions in a table."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def list(
        self, queue: str, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Iterator[Any]:
        after = message_number(marker) if marker else 0
        if after < 0:
            return page([], str)
        now = self._clock.time()
        rows = self._database.rows(_SQL["page"], (project_key(project), queue, after, now, limit or -1))
        return page([_view(queue, row, now) for row in rows], lambda item: str(item["id"]))

    def get(self, queue: str, subscription_id: str, project: Project = None) -> Subscription:
        now = self._clock.time()
        with self._database.read as connection:
            return _view(queue, _one(connection, queue, subscription_id, project, now), now)

    def get_with_subscriber(self, queue: str, subscriber: str, project: Project = None) -> Subscription:
        now = self._clock.time()
        row = self._database.row(_SQL["of_subscriber"], (project_key(project), queue, subscriber, now))
        if row is None:
            raise SubscriptionDoesNotExist(subscriber)
        return _view(queue, row, now)

    def create(
        self, queue: str, subscriber: str, ttl: float, options: Mapping[str, Any], project: Project = None
    ) -> str | None:
        stored, key = write(dict(options or {})), (project_key(project), queue, subscriber)
        with self._database.write as connection:
            now = self._clock.time()
            connection.execute(_SQL["remove_expired"], (*key, now))
            values = (*key, ttl or 0, now, now + ttl if ttl else None, stored)
            rows = connection.execute(_SQL["create"], values).fetchall()
        return str(rows[0][0]) if rows else None

    def update(self, queue: str, subscription_id: str, project: Project = None, **kwargs: Any) -> None:
        check_subscription_changes(kwargs)
        options = write(dict(kwargs["options"] or {})) if "options" in kwargs else None
        with self._database.write as connection:
            now = self._clock.time()
            number = _one(connection, queue, subscription_id, project, now)[0]
            if "subscriber" in kwargs:
                _rename(connection, (project_key(project), queue, kwargs["subscriber"]), number, now)
            if "ttl" in kwargs:
                ttl = kwargs["ttl"] or 0
                connection.execute(_SQL["set_ttl"], (ttl, now + ttl if ttl else None, number))
            if options is not None:
                connection.execute(_SQL["set_options"], (options, number))

    def delete(self, queue: str, subscription_id: str, project: Project = None) -> None:
        with self._database.write as connection:
            connection.execute(_SQL["delete"], (project_key(project), queue, message_number(subscription_id)))

    def confirm(self, queue: str, subscription_id: str, project: Project = None, confirmed: bool | None = None) -> None:
        with self._database.write as connection:
            number = _one(connection, queue, subscription_id, project, self._clock.time())[0]
            connection.execute(_SQL["confirm"], (int(confirmed is None or confirmed), number))


def _one(connection: sqlite3.Connection, queue: str, subscription_id: str, project: Project, now: float) -> Any:
    key = (project_key(project), queue, message_number(subscription_id))
    row = connection.execute(_SQL["one"], (*key, now)).fetchone()
    if row is None:
        raise SubscriptionDoesNotExist(subscription_id)
    return row


def _rename(connection: sqlite3.Connection, key: tuple[str, str, str], number: int, now: float) -> None:
    connection.execute(_SQL["remove_expired"], (*key, now))
    other = connection.execute(_SQL["of_subscriber"], (*key, now)).fetchone()
    if other is not None and other[0] != number:
        raise SubscriptionAlreadyExists
    connection.execute(_SQL["set_subscriber"], (key[2], number))


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
