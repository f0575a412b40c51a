"""Exchanges and bindings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb.codec import project_key
from kombu_pool.drivers.mongodb.control.tables import BINDINGS, EXCHANGES, with_id
from kombu_pool.errors import ExchangeDoesNotExist
from kombu_pool.storage import BindingsController as Contract
from kombu_pool.storage.policy import read, write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.model import Binding, Exchange, Project

_EXCHANGE, _QUEUE = "exchange", "queue"
#: The generations of an exchange begin above those of any that had its name before, which changed less often than this.
_GENERATIONS = 1 << 20

#: What others know of a binding: its exchange's generation has not grown since it came; it has; it is to go.
_NEW, _KNOWN, _GOING = range(3)


class BindingsController(Contract):
    """Exchanges and bindings in collections.

    A change is written, then the exchange's generation grows, then the change is marked as known, or is gone: a process
    that dies in between leaves it to whoever asks for the same change again. No transaction: a hundred workers that
    start at once would all be in each other's way.
    """

    generation_ttl = 1.0

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._client = tables.client

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
        new = {**with_id(_exchange(project, name)), "k": type, "d": bool(durable), "u": bool(auto_delete), "a": stored}
        with self._client.translated():
            if self._tables[EXCHANGES].find_one(_exchange(project, name), {"_id": 1}) is not None:
                return False
            new["g"] = self._tables.number() * _GENERATIONS
            try:
                self._tables[EXCHANGES].insert_one(new)
            except DuplicateKeyError:
                return False
        return True

    def get_exchange(self, name: str, project: Project = None) -> Exchange:
        with self._client.translated():
            found = self._tables[EXCHANGES].find_one(_exchange(project, name))
        if found is None:
            raise ExchangeDoesNotExist(name, project)
        return _shown(found)

    def list_exchanges(self, project: Project = None) -> Sequence[Exchange]:
        with self._client.translated():
            return [_shown(found) for found in self._tables[EXCHANGES].find({"p": project_key(project)}).sort("n", 1)]

    def delete_exchange(self, name: str, project: Project = None) -> None:
        with self._client.translated():
            self._tables[EXCHANGES].delete_one(_exchange(project, name))
            self._tables[BINDINGS].delete_many({"p": project_key(project), "e": name})
            self._remove(project, _leading(project, _EXCHANGE, name))

    def generation(self, exchange: str, project: Project = None) -> int:
        with self._client.translated():
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
        needed = [exchange, destination] if destination_type == _EXCHANGE else [exchange]
        with self._client.translated():
            found = self._tables[BINDINGS].find_one(binding, {"f": 1})
            if found is not None and found["f"] == _KNOWN:
                return False
            for name in needed:
                self._require(name, project)
            made = self._insert(binding, was_there=found is not None)
            if not self._changed(project, exchange):
                # It went in the meantime, with all that was bound to it.
                self._tables[BINDINGS].delete_one(binding)
                raise ExchangeDoesNotExist(exchange, project)
            if destination_type == _EXCHANGE:
                self._require_still(binding, project)
            self._tables[BINDINGS].update_one({**binding, "f": _NEW}, {"$set": {"f": _KNOWN}})
        return made

    def _insert(self, binding: dict[str, Any], *, was_there: bool) -> bool:
        """Write a binding that nobody knows; return whether it was not there, or about to go."""
        new = {"f": _NEW, "o": self._tables.number()}
        going = {**binding, "f": _GOING}
        if was_there and self._tables[BINDINGS].update_one(going, {"$set": new}).matched_count:
            return True
        try:
            self._tables[BINDINGS].insert_one({**with_id(binding), **new})
        except DuplicateKeyError:
            return bool(self._tables[BINDINGS].update_one(going, {"$set": new}).matched_count)
        return True

    def _require_still(self, binding: dict[str, Any], project: Project) -> None:
        """Take a binding back whose destination went before who deleted that could see the binding."""
        try:
            self._require(binding["n"], project)
        except ExchangeDoesNotExist:
            self._remove(project, binding)
            raise

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
        with self._client.translated():
            return bool(self._remove(project, binding))

    def unbind_queue(self, queue: str, project: Project = None) -> Sequence[str]:
        with self._client.translated():
            return self._remove(project, _leading(project, _QUEUE, queue))

    def list(self, exchange: str | None = None, project: Project = None) -> Sequence[Binding]:
        where: dict[str, Any] = {"p": project_key(project), "f": {"$lt": _GOING}}
        if exchange is not None:
            where["e"] = exchange
        with self._client.translated():
            found = sorted(self._tables[BINDINGS].find(where), key=lambda binding: int(binding["o"]))
        return [_shown_binding(binding) for binding in found]

    def _remove(self, project: Project, where: dict[str, Any]) -> Sequence[str]:
        """Remove bindings, and return the exchanges that they came from, in the order in which they were bound."""
        found = sorted(self._tables[BINDINGS].find(where), key=lambda binding: int(binding["o"]))
        if not found:
            return []
        doomed = {"_id": {"$in": [binding["_id"] for binding in found]}}
        self._tables[BINDINGS].update_many(doomed, {"$set": {"f": _GOING}})
        sources = list(dict.fromkeys(str(binding["e"]) for binding in found))
        for exchange in sources:
            self._changed(project, exchange)
        self._tables[BINDINGS].delete_many({**doomed, "f": _GOING})
        return sources

    def _require(self, name: str, project: Project) -> None:
        if self._tables[EXCHANGES].find_one(_exchange(project, name), {"_id": 1}) is None:
            raise ExchangeDoesNotExist(name, project)

    def _changed(self, project: Project, exchange: str) -> bool:
        """Let everybody read the exchange anew; return whether it is there."""
        changed = self._tables[EXCHANGES].update_one(_exchange(project, exchange), {"$inc": {"g": 1}})
        return bool(changed.matched_count)


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
