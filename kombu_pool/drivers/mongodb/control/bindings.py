"""Exchanges and bindings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb.control.tables import BINDINGS, EXCHANGES
from kombu_pool.drivers.mongodb.layout import project_key
from kombu_pool.errors import ExchangeDoesNotExist
from kombu_pool.storage import BindingsController as Contract
from kombu_pool.storage.policy import read, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pymongo.client_session import ClientSession

    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.model import Binding, Exchange, Project

T = TypeVar("T")

_EXCHANGE, _QUEUE = "exchange", "queue"
#: The generations of an exchange begin above those of any that had its name before, which changed less often than this.
_GENERATIONS = 1 << 32


class BindingsController(Contract):
    """Exchanges and bindings in collections; an exchange's generation grows in one step with what it stands for.

    Without transactions it grows after that: who dies in between leaves a change that others see with the next one.
    """

    trust = 1.0

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._link = tables.link

    def create_exchange(
        self,
        name: str,
        type: str,
        durable: bool = True,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        project: Project = None,
    ) -> bool:
        stored = write(dict(arguments or {}))
        new = {**_exchange(project, name), "k": type, "d": bool(durable), "u": bool(auto_delete), "a": stored}
        with self._link.translated():
            if self._tables[EXCHANGES].find_one(_exchange(project, name), {"_id": 1}) is not None:
                return False
            new["g"] = self._tables.number() * _GENERATIONS
            try:
                self._tables[EXCHANGES].insert_one(new)
            except DuplicateKeyError:
                return False
        return True

    def get_exchange(self, name: str, project: Project = None) -> Exchange:
        with self._link.translated():
            found = self._tables[EXCHANGES].find_one(_exchange(project, name))
        if found is None:
            raise ExchangeDoesNotExist(name, project)
        return _shown(found)

    def list_exchanges(self, project: Project = None) -> Sequence[Exchange]:
        with self._link.translated():
            return [_shown(found) for found in self._tables[EXCHANGES].find({"p": project_key(project)}).sort("n", 1)]

    def delete_exchange(self, name: str, project: Project = None) -> None:
        def delete(session: ClientSession | None) -> None:
            self._tables[EXCHANGES].delete_one(_exchange(project, name), session=session)
            self._tables[BINDINGS].delete_many({"p": project_key(project), "e": name}, session=session)
            self._unbind(project, _EXCHANGE, name, session)

        self._together(delete)

    def generation(self, exchange: str, project: Project = None) -> int:
        with self._link.translated():
            found = self._tables[EXCHANGES].find_one(_exchange(project, exchange), {"g": 1})
        return int(found["g"]) if found else 0

    def bind(
        self,
        exchange: str,
        destination: str,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        destination_type: str = "queue",
        project: Project = None,
    ) -> bool:
        binding = _binding(project, exchange, destination_type, destination, routing_key, arguments)
        with self._link.translated():
            if self._tables[BINDINGS].find_one(binding, {"_id": 1}) is not None:
                return False
            order = self._tables.number()

        def insert(session: ClientSession | None) -> bool:
            if destination_type == _EXCHANGE:
                self._require(destination, project, session)
            self._require(exchange, project, session)
            try:
                self._tables[BINDINGS].insert_one({**binding, "o": order}, session=session)
            except DuplicateKeyError:
                return False
            self._changed(project, [exchange], session)
            return True

        return self._together(insert)

    def unbind(
        self,
        exchange: str,
        destination: str,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        destination_type: str = "queue",
        project: Project = None,
    ) -> bool:
        binding = _binding(project, exchange, destination_type, destination, routing_key, arguments)

        def delete(session: ClientSession | None) -> bool:
            if not self._tables[BINDINGS].delete_one(binding, session=session).deleted_count:
                return False
            self._changed(project, [exchange], session)
            return True

        return self._together(delete)

    def unbind_queue(self, queue: str, project: Project = None) -> Sequence[str]:
        with self._link.translated():
            # Most queues are bound to nothing, and those have come with a look.
            if self._tables[BINDINGS].find_one(_leading(project, _QUEUE, queue), {"_id": 1}) is None:
                return []
        return self._together(lambda session: self._unbind(project, _QUEUE, queue, session))

    def list(self, exchange: str | None = None, project: Project = None) -> Sequence[Binding]:
        where = {"p": project_key(project)} if exchange is None else {"p": project_key(project), "e": exchange}
        with self._link.translated():
            found = sorted(self._tables[BINDINGS].find(where), key=lambda binding: int(binding["o"]))
        return [_shown_binding(binding) for binding in found]

    def _together(self, work: Callable[[ClientSession | None], T]) -> T:
        """Do several writes, in one step where the server can."""
        with self._link.translated():
            # No transaction makes a collection's indexes.
            self._tables.prepare()
            return self._link.transact(work) if self._link.has_transactions else work(None)

    def _unbind(self, project: Project, kind: str, destination: str, session: ClientSession | None) -> Sequence[str]:
        where = _leading(project, kind, destination)
        found = sorted(self._tables[BINDINGS].find(where, session=session), key=lambda binding: int(binding["o"]))
        self._tables[BINDINGS].delete_many({"_id": {"$in": [binding["_id"] for binding in found]}}, session=session)
        sources = list(dict.fromkeys(str(binding["e"]) for binding in found))
        self._changed(project, sources, session)
        return sources

    def _require(self, name: str, project: Project, session: ClientSession | None) -> None:
        if self._tables[EXCHANGES].find_one(_exchange(project, name), {"_id": 1}, session=session) is None:
            raise ExchangeDoesNotExist(name, project)

    def _changed(self, project: Project, exchanges: Iterable[str], session: ClientSession | None) -> None:
        for exchange in exchanges:
            self._tables[EXCHANGES].update_one(_exchange(project, exchange), {"$inc": {"g": 1}}, session=session)


def _exchange(project: Project, name: str) -> dict[str, Any]:
    return {"p": project_key(project), "n": name}


def _leading(project: Project, kind: str, destination: str) -> dict[str, Any]:
    return {"p": project_key(project), "k": kind, "n": destination}


def _binding(
    project: Project,
    exchange: str,
    kind: str,
    destination: str,
    routing_key: str,
    arguments: Mapping[str, Any] | None,
) -> dict[str, Any]:
    stored = write(dict(arguments or {}))
    return {**_leading(project, kind, destination), "e": exchange, "r": routing_key, "a": stored}


def _shown(found: Mapping[str, Any]) -> Exchange:
    return {
        "name": found["n"],
        "type": found["k"],
        "durable": found["d"],
        "auto_delete": found["u"],
        "arguments": read(found["a"]),
        "generation": found["g"],
    }


def _shown_binding(found: Mapping[str, Any]) -> Binding:
    return {
        "exchange": found["e"],
        "destination": found["n"],
        "destination_type": found["k"],
        "routing_key": found["r"],
        "arguments": read(found["a"]),
    }
