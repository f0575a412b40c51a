"""The controller of exchanges and bindings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.drivers.redis.control.key_encoding import (
    SEPARATOR,
    member,
    name_of,
    prefix_range,
    project_bytes,
    stored_name,
)
from kombu_pool.drivers.redis.control.tables import Table
from kombu_pool.drivers.redis.keys import control_key, control_keys, name_bytes
from kombu_pool.drivers.redis.keys import name_of as text_of
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import ExchangeDoesNotExist, QueueDoesNotExist
from kombu_pool.storage import BindingsController as Contract
from kombu_pool.storage.policy import write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.drivers.redis.client import Client
    from kombu_pool.model import Binding, Exchange, Project

_CREATE = script("control/create_exchange")
_DELETE = script("control/delete_exchange", repeatable=True)
_BIND = script("control/bind")
_UNBIND = script("control/unbind")
_UNBIND_QUEUE = script("control/unbind_queue")
_EXCHANGE, _QUEUE = "exchange", "queue"
#: What ``bind`` returns as missing when it is the destination queue.
_NO_QUEUE = 3
#: Digits of a generation at the beginning of an exchange's record. A binding's number has as many.
_DIGITS = 16


class BindingsController(Contract):
    """Exchanges in a table, bindings in sorted sets by exchange and by destination."""

    generation_ttl = 1.0

    def __init__(self, client: Client) -> None:
        prefix = client.location.key_prefix
        self._client = client
        self._table = Table(client, "exchanges")
        self._bindings, self._from, self._to, self._last = (
            control_key(prefix, part) for part in ("bindings", "bindings:from", "bindings:to", "generation")
        )
        exchanges, assignments = self._table, control_keys(prefix).catalogue
        lists = (self._bindings, self._from, self._to)
        self._keys = (exchanges.records, self._last, *lists, exchanges.names, assignments)

    def create_exchange(
        self,
        name: str,
        type: str,
        durable: bool = True,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        project: Project = None,
    ) -> bool:
        record = write((name_bytes(type), bool(durable), bool(auto_delete), dict(arguments or {})))
        return bool(self._client.call(_CREATE, self._keys, member(project, name), record))

    def get_exchange(self, name: str, project: Project = None) -> Exchange:
        found = self._table.find(project, name)
        if found is None:
            raise ExchangeDoesNotExist(name, project)
        return _to_exchange(name, found)

    def list_exchanges(self, project: Project = None) -> Sequence[Exchange]:
        return [_to_exchange(*row) for row in self._table.rows(project)]

    def delete_exchange(self, name: str, project: Project = None) -> None:
        kind = stored_name(_EXCHANGE)
        arguments = (member(project, name), *_range_from(project, name), *_range_to(project, kind, name))
        self._client.call(_DELETE, self._keys, *arguments)

    def generation(self, exchange: str, project: Project = None) -> int:
        found = self._table.find(project, exchange)
        return 0 if found is None else int(found[:_DIGITS])

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
        binding = _stored(project, exchange, destination_type, destination, routing_key, arguments)
        target = member(project, destination)
        required = (member(project, exchange), target if destination_type == _EXCHANGE else b"")
        life = () if incarnation is None else (target, incarnation)
        bound, missing = self._client.call(_BIND, self._keys, binding, *required, *life)
        if missing == _NO_QUEUE:
            raise QueueDoesNotExist(destination, project)
        if missing:
            raise ExchangeDoesNotExist((exchange, destination)[missing - 1], project)
        return bool(bound)

    def unbind(
        self,
        exchange: str,
        destination: str,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        destination_type: str = "queue",
        project: Project = None,
    ) -> bool:
        binding = _stored(project, exchange, destination_type, destination, routing_key, arguments)
        return bool(self._client.call(_UNBIND, self._keys, binding))

    def unbind_queue(self, queue: str, project: Project = None, *, incarnation: str | None = None) -> Sequence[str]:
        required = () if incarnation is None else (member(project, queue), incarnation)
        bounds = _range_to(project, stored_name(_QUEUE), queue)
        sources = self._client.call(_UNBIND_QUEUE, self._keys, *bounds, *required)
        return [name_of(source) for source in sources]

    def list(self, exchange: str | None = None, project: Project = None) -> Sequence[Binding]:
        bounds = prefix_range(project_bytes(project)) if exchange is None else _range_from(project, exchange)
        entries = [entry.split(SEPARATOR, 6) for entry in self._client.command("ZRANGEBYLEX", self._from, *bounds)]
        if exchange is None:
            entries.sort(key=lambda entry: entry[2])
        return [_to_binding(*entry) for entry in entries]


def _stored(
    project: Project,
    exchange: str,
    destination_type: str,
    destination: str,
    routing_key: str,
    arguments: Mapping[str, Any] | None,
) -> bytes:
    """Return the stored form of a binding, whose parts the scripts split."""
    names = (exchange, destination_type, destination, routing_key)
    return SEPARATOR.join((project_bytes(project), *map(stored_name, names), write(dict(arguments or {}))))


def _range_from(project: Project, exchange: str) -> tuple[bytes, bytes]:
    return prefix_range(project_bytes(project), stored_name(exchange))


def _range_to(project: Project, kind: bytes, destination: str) -> tuple[bytes, bytes]:
    return prefix_range(project_bytes(project), kind, stored_name(destination))


def _to_binding(
    _project: bytes,
    exchange: bytes,
    _number: bytes,
    kind: bytes,
    destination: bytes,
    routing_key: bytes,
    arguments: bytes,
) -> Binding:
    return {
        "exchange": name_of(exchange),
        "destination": name_of(destination),
        "destination_type": name_of(kind),
        "routing_key": name_of(routing_key),
        "arguments": codec.decode(arguments),
    }


def _to_exchange(name: str, record: bytes) -> Exchange:
    type_, durable, auto_delete, arguments = codec.decode(record[_DIGITS:])
    return {
        "name": name,
        "type": text_of(type_),
        "durable": durable,
        "auto_delete": auto_delete,
        "arguments": arguments,
        "generation": int(record[:_DIGITS]),
    }
