"""The controller of the queues of the control plane: their names and their metadata."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.redis.control.key_encoding import member
from kombu_pool.drivers.redis.control.tables import Table
from kombu_pool.drivers.redis.keys import control_keys
from kombu_pool.drivers.redis.scripts import Script, script
from kombu_pool.drivers.redis.store import now_argument
from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, QueueController, page
from kombu_pool.storage.policy import read, write
from kombu_pool.storage.queue_metadata import is_found

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.redis.client import Client
    from kombu_pool.model import Metadata, Project

_GET = script("control/get_queue", repeatable=True)
_SET = script("control/set_queue", repeatable=True)


class RecordedQueues(QueueController):
    """Names and metadata of queues, whose messages are in the pools."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._keys = control_keys(client.location.key_prefix).lives
        self._table = Table(client, "queues")

    def list(
        self,
        project: Project = None,
        kfilter: Mapping[str, Any] = {},
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        detailed: bool = False,
        name: str | None = None,
    ) -> Iterator[Any]:
        rows = self._table.rows(project, marker, 0 if kfilter or name else limit)
        matching = _matching(rows, kfilter, name or "", detailed=detailed)
        return page([*islice(matching, limit or None)], lambda item: str(item["name"]))

    def get(self, name: str, project: Project = None) -> Metadata:
        return read(self._require(name, project))

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        if not self._call(_SET, project, name, write(metadata)):
            raise QueueDoesNotExist(name, project)

    def create(
        self,
        name: str,
        metadata: Metadata | None = None,
        project: Project = None,
        *,
        incarnation: str | None = None,
        replaces: str | None = None,
    ) -> bool:
        return self._table.add(project, name, write(metadata or {}))

    def exists(self, name: str, project: Project = None) -> bool:
        return is_found(self.get, name, project)

    def delete(self, name: str, project: Project = None, *, incarnation: str | None = None) -> None:
        self._table.delete(project, name)

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        self._require(name, project)
        return {"messages": {"claimed": 0, "free": 0, "total": 0}}

    def calculate_resource_count(self, project: Project = None) -> int:
        return self._table.count(project)

    def _require(self, name: str, project: Project) -> bytes:
        found: bytes | None = self._call(_GET, project, name)
        if found is None:
            raise QueueDoesNotExist(name, project)
        return found

    def _call(self, script: Script, project: Project, name: str, *arguments: Any) -> Any:
        return self._client.call(script, self._keys, now_argument(self._clock), member(project, name), *arguments)


def _matching(
    rows: Iterator[tuple[str, bytes]], kfilter: Mapping[str, Any], part: str, *, detailed: bool
) -> Iterator[dict[str, Any]]:
    for name, metadata in rows:
        if part not in name:
            continue
        given = read(metadata) if kfilter or detailed else {}
        if all(key in given and given[key] == value for key, value in kfilter.items()):
            yield {"name": name, "metadata": given} if detailed else {"name": name}
