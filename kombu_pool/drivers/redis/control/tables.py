"""Records by project and name: a hash that has them, and a sorted set that has their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.control.key_encoding import member, project_bytes, scope_of, span
from kombu_pool.drivers.redis.keys import control_key
from kombu_pool.drivers.redis.scripts import script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu_pool.drivers.redis.client import Link
    from kombu_pool.model import Project

_ADD = script("control/put")
_PUT = script("control/put", repeatable=True)
_DELETE = script("control/delete", repeatable=True)
_DROP = script("control/drop", repeatable=True)
_PAGE = script("control/page", repeatable=True, writes=False)
# Rows that are read in one go: Redis does nothing else meanwhile.
_AT_ONCE = 500


class Table:
    """The records of one kind."""

    def __init__(self, link: Link, part: str) -> None:
        self._link = link
        self.records = control_key(link.location.key_prefix, part)
        self.names = control_key(link.location.key_prefix, f"{part}:names")

    def find(self, project: Project, name: str) -> bytes | None:
        """Return a record, None when there is none of that name."""
        found: bytes | None = self._link.command("HGET", self.records, member(project, name))
        return found

    def exists(self, project: Project, name: str) -> bool:
        """Tell whether there is a record of that name."""
        return bool(self._link.command("HEXISTS", self.records, member(project, name)))

    def add(self, project: Project, name: str, record: bytes) -> bool:
        """Write a record unless there is one: False."""
        return bool(self._link.call(_ADD, (self.records, self.names), member(project, name), record, "absent"))

    def replace(self, project: Project, name: str, record: bytes) -> bool:
        """Write a record if there is one already; otherwise False."""
        return bool(self._link.call(_PUT, (self.records, self.names), member(project, name), record, "present"))

    def delete(self, project: Project, name: str) -> None:
        """Remove a record. Idempotent."""
        self._link.call(_DELETE, (self.records, self.names), member(project, name))

    def count(self, project: Project) -> int:
        """Count a project's records."""
        return int(self._link.command("ZLEXCOUNT", self.names, *span(project_bytes(project))))

    def rows(self, project: Project, marker: str | None = None, limit: int = 0) -> Iterator[tuple[str, bytes]]:
        """Return names and records by name, those behind the marker only, and up to a limit; 0 for all."""
        start, end = span(project_bytes(project))
        after = b"(" + member(project, marker) if marker else start
        found = 0
        while True:
            wanted = min(limit - found, _AT_ONCE) if limit else _AT_ONCE
            names, records = self._link.call(_PAGE, (self.records, self.names), after, end, wanted)
            yield from ((scope_of(name)[1], record) for name, record in zip(names, records, strict=True))
            found += len(names)
            if len(names) < wanted or found == limit:
                return
            after = b"(" + names[-1]

    def drop(self, *others: bytes) -> None:
        """Remove all records of all projects, and other keys with them."""
        self._link.call(_DROP, (self.records, self.names, *others))
