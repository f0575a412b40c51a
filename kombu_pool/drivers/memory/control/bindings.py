"""Exchanges and bindings."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.memory.codec import decode_mapping, encode_mapping
from kombu_pool.drivers.memory.control.store import StoredExchange
from kombu_pool.errors import ExchangeDoesNotExist, QueueDoesNotExist
from kombu_pool.model import DELETING
from kombu_pool.storage import BindingsController as Contract

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kombu_pool.drivers.memory.control.store import ControlStore
    from kombu_pool.model import Binding, Exchange, Project

EXCHANGE = "exchange"
QUEUE = "queue"


class BindingsController(Contract):
    """Exchanges in a dictionary, and bindings in a list."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def create_exchange(
        self,
        name: str,
        type: str,
        durable: bool = True,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        project: Project = None,
    ) -> bool:
        record = encode_mapping(arguments)
        with self._store.lock:
            if (project, name) in self._store.exchanges:
                return False
            generation = self._store.next_generation()
            self._store.exchanges[project, name] = StoredExchange(type, durable, auto_delete, record, generation)
            return True

    def get_exchange(self, name: str, project: Project = None) -> Exchange:
        with self._store.lock:
            found = self._require(name, project)
            return {
                "name": name,
                "type": found.type,
                "durable": found.durable,
                "auto_delete": found.auto_delete,
                "arguments": decode_mapping(found.arguments),
                "generation": found.generation,
            }

    def list_exchanges(self, project: Project = None) -> Sequence[Exchange]:
        with self._store.lock:
            names = sorted(name for owner, name in self._store.exchanges if owner == project)
            return [self.get_exchange(name, project) for name in names]

    def delete_exchange(self, name: str, project: Project = None) -> None:
        with self._store.lock:
            self._store.exchanges.pop((project, name), None)
            self._drop(project, lambda binding: binding["exchange"] == name or _is_bound_to(binding, EXCHANGE, name))

    def generation(self, exchange: str, project: Project = None) -> int:
        found = self._store.exchanges.get((project, exchange))
        return found.generation if found else 0

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
        binding = _binding(exchange, destination, routing_key, arguments, destination_type)
        with self._store.lock:
            self._require(exchange, project)
            if destination_type == EXCHANGE:
                self._require(destination, project)
            if incarnation is not None:
                found = self._store.catalogue.get((project, destination))
                if found is None or found.incarnation != incarnation or found.state == DELETING:
                    raise QueueDoesNotExist(destination, project)
            if (project, binding) in self._store.bindings:
                return False
            self._store.bindings.append((project, binding))
            self._changed(exchange, project)
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
        removed = _binding(exchange, destination, routing_key, arguments, destination_type)
        with self._store.lock:
            return bool(self._drop(project, lambda binding: binding == removed))

    def unbind_queue(self, queue: str, project: Project = None, *, incarnation: str | None = None) -> Sequence[str]:
        with self._store.lock:
            if incarnation is not None:
                found = self._store.catalogue.get((project, queue))
                if found is None or (found.incarnation, found.state) != (incarnation, DELETING):
                    return ()
            return self._drop(project, lambda binding: _is_bound_to(binding, QUEUE, queue))

    def list(self, exchange: str | None = None, project: Project = None) -> Sequence[Binding]:
        with self._store.lock:
            return [
                deepcopy(binding)
                for owner, binding in self._store.bindings
                if owner == project and exchange in (None, binding["exchange"])
            ]

    def _require(self, name: str, project: Project) -> StoredExchange:
        found = self._store.exchanges.get((project, name))
        if found is None:
            raise ExchangeDoesNotExist(name, project)
        return found

    def _drop(self, project: Project, is_removed: Callable[[Binding], bool]) -> Sequence[str]:
        """Remove the matching bindings; return the exchanges that they came from."""
        kept: list[tuple[Project, Binding]] = []
        sources: dict[str, None] = {}
        for owner, binding in self._store.bindings:
            if owner == project and is_removed(binding):
                sources[binding["exchange"]] = None
            else:
                kept.append((owner, binding))
        self._store.bindings = kept
        for exchange in sources:
            self._changed(exchange, project)
        return [*sources]

    def _changed(self, exchange: str, project: Project) -> None:
        found = self._store.exchanges.get((project, exchange))
        if found is not None:
            found.generation = self._store.next_generation()


def _binding(
    exchange: str, destination: str, routing_key: str, arguments: Mapping[str, Any] | None, destination_type: str
) -> Binding:
    return {
        "exchange": exchange,
        "destination": destination,
        "destination_type": destination_type,
        "routing_key": routing_key,
        "arguments": decode_mapping(encode_mapping(arguments)),
    }


def _is_bound_to(binding: Binding, destination_type: str, destination: str) -> bool:
    return binding["destination_type"] == destination_type and binding["destination"] == destination
