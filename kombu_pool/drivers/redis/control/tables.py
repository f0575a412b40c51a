"""Records by project and name: a hash of the records, and a sorted set for their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.control.key_encoding import member, prefix_range, project_bytes, scope_of
from kombu_pool.drivers.redis.keys import control_key
from kombu_pool.drivers.redis.scripts import script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu_pool.drivers.redis.client import Client
    from kombu_pool.model import Project

_ADD = script("control/add")
_DELETE = script("control/delete", repeatable=True)
_DROP = script("control/drop", repeatable=True)
_PAGE = script("control/page", repeatable=True)
#: Rows that one run of a script reads; Redis serves no other client meanwhile.
_PAGE_SIZE = 500


class Table:
    """The records of one kind."""

    def __init__(self, client: Client, part: str) -> None:
        self._client = client
        self.records = control_key(client.location.key_prefix, part)
        self.names = control_key(client.location.key_prefix, f"{part}:names")

    def find(self, project: Project, name: str) -> bytes | None:
        """Return the record of that name, or None."""
        found: bytes | None = self._client.command("HGET", self.records, member(project, name))
        return found

    def add(self, project: Project, name: str, record: bytes) -> bool:
        """Store a new record; False when there is one of that name."""
        return bool(self._client.call(_ADD, (self.records, self.names), member(project, name), record))

    def delete(self, project: Project, name: str) -> None:
        """Delete a record. Idempotent."""
        self._client.call(_DELETE, (self.records, self.names), member(project, name))

    def count(self, project: Project) -> int:
        """Return the number of a project's records."""
        return int(self._client.command("ZLEXCOUNT", self.names, *prefix_range(project_bytes(project))))

    def rows(self, project: Project, marker: str | None = None, limit: int = 0) -> Iterator[tuple[str, bytes]]:
        """Yield names and records in order, after the marker, and up to a limit; 0 for all."""
        first, end = prefix_range(project_bytes(project))
        after = b"(" + member(project, marker) if marker else first
        found = 0
        while True:
            wanted = min(limit - found, _PAGE_SIZE) if limit else _PAGE_SIZE
            names, records = self._client.call(_PAGE, (self.records, self.names), after, end, wanted)
            yield from ((scope_of(name)[1], record) for name, record in zip(names, records, strict=True))
            found += len(names)
            if len(names) < wanted or found == limit:
                return
            after = b"(" + names[-1]

    def drop(self, *others: bytes) -> None:
        """Delete all records of all projects, and other keys with them."""
        self._client.call(_DROP, (self.records, self.names, *others))
