"""Exchanges and bindings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.sqlite.codec import project_key
from kombu_pool.drivers.sqlite.control.catalogue import is_in_state
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import ExchangeDoesNotExist, QueueDoesNotExist
from kombu_pool.storage import BindingsController as Contract
from kombu_pool.storage.policy import read, write

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.times import StoreClock
    from kombu_pool.model import Binding, Exchange, Project

_SQL = statements("bindings")
_EXCHANGE, _QUEUE = "exchange", "queue"


class BindingsController(Contract):
    """Exchanges and bindings in tables."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    def create_exchange(
        self,
        name: str,
        type: str,
        durable: bool = True,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        project: Project = None,
    ) -> bool:
        key, stored = project_key(project), write(dict(arguments or {}))
        known = self._database.row(_SQL["generation"], (key, name)) is not None
        if known and not self._database.has_unflushed:
            return False
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            generation = self._next_generation(connection)
            values = (key, name, type, int(durable), int(auto_delete), stored, generation)
            return connection.execute(_SQL["create"], values).rowcount > 0

    def get_exchange(self, name: str, project: Project = None) -> Exchange:
        row = self._database.row(_SQL["one"], (project_key(project), name))
        if row is None:
            raise ExchangeDoesNotExist(name, project)
        return _exchange_view(row)

    def list_exchanges(self, project: Project = None) -> Sequence[Exchange]:
        return [_exchange_view(row) for row in self._database.rows(_SQL["all"], (project_key(project),))]

    def delete_exchange(self, name: str, project: Project = None) -> None:
        key = project_key(project)
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            connection.execute(_SQL["delete"], (key, name))
            connection.execute(_SQL["unbind_source"], (key, name))
            sources = connection.execute(_SQL["unbind_destination"], (key, _EXCHANGE, name)).fetchall()
            self._set_generation(connection, key, {source for source, _ in sources})

    def generation(self, exchange: str, project: Project = None) -> int:
        row = self._database.row(_SQL["generation"], (project_key(project), exchange))
        return int(row[0]) if row else 0

    def bind(
        self,
        exchange: str,
        destination: str,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        destination_type: str = "queue",
        project: Project = None,
        *,
        incarnation: str | None = None,
    ) -> bool:
        key = project_key(project)
        values = (key, exchange, destination_type, destination, routing_key, write(dict(arguments or {})))
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            for name in (exchange, destination) if destination_type == _EXCHANGE else (exchange,):
                if connection.execute(_SQL["generation"], (key, name)).fetchone() is None:
                    raise ExchangeDoesNotExist(name, project)
            if incarnation is not None and not is_in_state(connection, (key, destination), incarnation, deleting=False):
                raise QueueDoesNotExist(destination, project)
            if not connection.execute(_SQL["bind"], values).rowcount:
                return False
            self._set_generation(connection, key, [exchange])
        return True

    def unbind(
        self,
        exchange: str,
        destination: str,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        destination_type: str = "queue",
        project: Project = None,
    ) -> bool:
        key = project_key(project)
        values = (key, exchange, destination_type, destination, routing_key, write(dict(arguments or {})))
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            if not connection.execute(_SQL["unbind"], values).rowcount:
                return False
            self._set_generation(connection, key, [exchange])
        return True

    def unbind_queue(self, queue: str, project: Project = None, *, incarnation: str | None = None) -> Sequence[str]:
        key = project_key(project)
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            if incarnation is not None and not is_in_state(connection, (key, queue), incarnation, deleting=True):
                return []
            rows = connection.execute(_SQL["unbind_destination"], (key, _QUEUE, queue)).fetchall()
            sources = list(dict.fromkeys(exchange for exchange, _ in sorted(rows, key=lambda row: row[1])))
            self._set_generation(connection, key, sources)
        return sources

    def list(self, exchange: str | None = None, project: Project = None) -> Sequence[Binding]:
        key = project_key(project)
        if exchange is None:
            rows = self._database.rows(_SQL["of_project"], (key,))
        else:
            rows = self._database.rows(_SQL["of_exchange"], (key, exchange))
        return [_binding_view(row) for row in rows]

    def _set_generation(self, connection: sqlite3.Connection, key: str, exchanges: Iterable[str]) -> None:
        for exchange in exchanges:
            connection.execute(_SQL["set_generation"], (self._next_generation(connection), key, exchange))

    def _next_generation(self, connection: sqlite3.Connection) -> int:
        now = int(self._clock.time() * 1_000_000)
        ((generation,),) = connection.execute(_SQL["next_generation"], (now,)).fetchall()
        return int(generation)


def _exchange_view(row: Any) -> Exchange:
    name, type_, durable, auto_delete, arguments, generation = row
    return {
        "name": name,
        "type": type_,
        "durable": bool(durable),
        "auto_delete": bool(auto_delete),
        "arguments": read(arguments),
        "generation": generation,
    }


def _binding_view(row: Any) -> Binding:
    exchange, destination, destination_type, routing_key, arguments = row
    return {
        "exchange": exchange,
        "destination": destination,
        "destination_type": destination_type,
        "routing_key": routing_key,
        "arguments": read(arguments),
    }
