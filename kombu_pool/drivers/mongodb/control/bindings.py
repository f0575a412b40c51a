"""The controller of exchanges and bindings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb.codec import project_key, project_of
from kombu_pool.drivers.mongodb.control.life_bindings import (
    ANNOUNCED,
    IS_LISTED,
    NEW,
    PENDING,
    REMOVED,
    Life,
    LifeBinding,
    ended_bindings,
)
from kombu_pool.drivers.mongodb.control.lives import find_deleting
from kombu_pool.drivers.mongodb.control.tables import BINDINGS, EXCHANGES, with_id
from kombu_pool.errors import ExchangeDoesNotExist
from kombu_pool.storage import BindingsController as Contract
from kombu_pool.storage.policy import read, write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.model import Binding, Exchange, Project

_EXCHANGE, _QUEUE = "exchange", "queue"
#: Distance of the first generations of two exchanges: more than the changes of any exchange, so that a generation never
#: repeats one of a predecessor with the same name.
_GENERATIONS = 1 << 20
#: Makes every process read an exchange's bindings again.
_NEXT_GENERATION: Final = {"$inc": {"g": 1}}


class BindingsController(Contract):
    """Exchanges and bindings, each a document.

    A change is stored, then the exchange's generation is incremented, then the binding is marked as announced, or is
    deleted. If a process dies in between, the next request for the same change completes it. There is no transaction: a
    hundred workers that start at once would conflict.
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
            new["g"] = self._tables.next_number() * _GENERATIONS
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
        return _to_exchange(found)

    def list_exchanges(self, project: Project = None) -> Sequence[Exchange]:
        with self._client.translated():
            return [
                _to_exchange(found) for found in self._tables[EXCHANGES].find({"p": project_key(project)}).sort("n", 1)
            ]

    def delete_exchange(self, name: str, project: Project = None) -> None:
        with self._client.translated():
            self._tables[EXCHANGES].delete_one(_exchange(project, name))
            self._tables[BINDINGS].delete_many({"p": project_key(project), "e": name})
            self._remove(_destination(project, _EXCHANGE, name))

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
        *,
        incarnation: str | None = None,
    ) -> bool:
        binding = _binding(project, exchange, destination_type, destination, routing_key, arguments)
        with self._client.translated():
            if incarnation is not None:
                return self._bind_to_life(binding, Life(self._tables, project, destination, incarnation), project)
            found = self._tables[BINDINGS].find_one(binding, {"f": 1})
            if found is not None and found["f"] == ANNOUNCED:
                return False
            for name in [exchange, destination] if destination_type == _EXCHANGE else [exchange]:
                self._require(name, project)
            is_new = self._insert(binding, was_there=found is not None)
            self._announce(binding, project)
        return is_new

    def _bind_to_life(self, binding: dict[str, Any], life: Life, project: Project) -> bool:
        new = LifeBinding(self._tables, binding, life)
        while True:
            found = self._tables[BINDINGS].find_one(binding, {"f": 1, "j": 1})
            if found is not None:
                # First: a binding of a later life stays.
                life.require()
            if found is not None and found["f"] < REMOVED:
                if life.is_bound(found):
                    if found["f"] == NEW:
                        self._announce(binding, project)
                    return False
                self._remove({**binding, "j": found["j"]})
                continue
            self._require(binding["e"], project)
            if new.store(found):
                self._announce(binding, project)
                return True

    def _announce(self, binding: dict[str, Any], project: Project) -> None:
        """Make every process read a new binding."""
        exchange = binding["e"]
        if not self._increment_generation(project, exchange):
            # The exchange was deleted meanwhile, with its other bindings.
            self._tables[BINDINGS].delete_one(binding)
            raise ExchangeDoesNotExist(exchange, project)
        if binding["k"] == _EXCHANGE:
            self._require_destination(binding, project)
        self._tables[BINDINGS].update_one({**binding, "f": NEW}, {"$set": {"f": ANNOUNCED}})

    def _insert(self, binding: dict[str, Any], *, was_there: bool) -> bool:
        """Store a new binding; return whether it did not exist, or was about to be removed."""
        new = {"f": NEW, "o": self._tables.next_number(), "j": None}
        removed = {**binding, "f": {"$gte": REMOVED}}
        if was_there and self._tables[BINDINGS].update_one(removed, {"$set": new}).matched_count:
            return True
        try:
            self._tables[BINDINGS].insert_one({**with_id(binding), **new})
        except DuplicateKeyError:
            return bool(self._tables[BINDINGS].update_one(removed, {"$set": new}).matched_count)
        return True

    def _require_destination(self, binding: dict[str, Any], project: Project) -> None:
        """Remove a binding whose destination was deleted by a process that did not see the binding."""
        try:
            self._require(binding["n"], project)
        except ExchangeDoesNotExist:
            self._remove(binding)
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
            return bool(self._remove({**binding, "f": {"$ne": PENDING}}))

    def unbind_queue(self, queue: str, project: Project = None, *, incarnation: str | None = None) -> Sequence[str]:
        if incarnation is not None:
            return self.unbind_queues([(project, queue, incarnation)]).get(project, [])
        with self._client.translated():
            return [exchange for _, exchange in self._remove(_destination(project, _QUEUE, queue))]

    def unbind_queues(self, queues: Sequence[tuple[Project, str, str]]) -> Mapping[Project, Sequence[str]]:
        with self._client.translated():
            ended = find_deleting(self._tables, queues)
            sources = self._remove(ended_bindings(ended)) if ended else []
        by_project: dict[Project, list[str]] = {}
        for project, exchange in sources:
            by_project.setdefault(project_of(project), []).append(exchange)
        return by_project

    def list(self, exchange: str | None = None, project: Project = None) -> Sequence[Binding]:
        where: dict[str, Any] = {"p": project_key(project), **IS_LISTED}
        if exchange is not None:
            where["e"] = exchange
        with self._client.translated():
            found = sorted(self._tables[BINDINGS].find(where), key=lambda binding: int(binding["o"]))
        return [_to_binding(binding) for binding in found]

    def _remove(self, where: dict[str, Any]) -> Sequence[tuple[str, str]]:
        """Remove bindings; return the projects and names of their exchanges in the order of the bindings."""
        found = sorted(self._tables[BINDINGS].find(where), key=lambda binding: int(binding["o"]))
        if not found:
            return []
        removed = {"_id": {"$in": [binding["_id"] for binding in found]}}
        # Each may belong to a later life since.
        self._tables[BINDINGS].update_many({**where, **removed}, {"$set": {"f": REMOVED}})
        sources = list(dict.fromkeys((str(binding["p"]), str(binding["e"])) for binding in found))
        changed = [UpdateOne({"p": project, "n": exchange}, _NEXT_GENERATION) for project, exchange in sources]
        self._tables[EXCHANGES].bulk_write(changed, ordered=False)
        self._tables[BINDINGS].delete_many({**removed, "f": REMOVED})
        return sources

    def _require(self, name: str, project: Project) -> None:
        if self._tables[EXCHANGES].find_one(_exchange(project, name), {"_id": 1}) is None:
            raise ExchangeDoesNotExist(name, project)

    def _increment_generation(self, project: Project, exchange: str) -> bool:
        """Make every process read the exchange's bindings again; return whether the exchange exists."""
        incremented = self._tables[EXCHANGES].update_one(_exchange(project, exchange), _NEXT_GENERATION)
        return bool(incremented.matched_count)


def _exchange(project: Project, name: str) -> dict[str, Any]:
    return {"p": project_key(project), "n": name}


def _destination(project: Project, kind: str, destination: str) -> dict[str, Any]:
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
    return {**_destination(project, kind, destination), "e": exchange, "r": routing_key, "a": stored}


def _to_exchange(found: Mapping[str, Any]) -> Exchange:
    return {
        "name": found["n"],
        "type": found["k"],
        "durable": found["d"],
        "auto_delete": found["u"],
        "arguments": read(found["a"]),
        "generation": found["g"],
    }


def _to_binding(found: Mapping[str, Any]) -> Binding:
    return {
        "exchange": found["e"],
        "destination": found["n"],
        "destination_type": found["k"],
        "routing_key": found["r"],
        "arguments": read(found["a"]),
    }
