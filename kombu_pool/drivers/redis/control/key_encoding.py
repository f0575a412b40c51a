"""Encodes projects and names as members of a hash or a sorted set.

The parts of a member have a NUL between them. The stored form of a name has none, whatever the name holds, and stored
forms sort as their names do. So all members with the same first parts are a range of a sorted set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.redis import keys

if TYPE_CHECKING:
    from kombu_pool.model import Project

SEPARATOR = b"\0"
_AFTER_SEPARATOR = b"\1"


def stored_name(name: str) -> bytes:
    """Return the stored form of a name."""
    return keys.name_bytes(name).replace(b"\1", b"\1\2").replace(b"\0", b"\1\1")


def name_of(stored: bytes) -> str:
    """Return the name from its stored form."""
    return keys.name_of(stored.replace(b"\1\1", b"\0").replace(b"\1\2", b"\1"))


def project_bytes(project: Project) -> bytes:
    """Return the stored form of a project."""
    return keys.project_key(project).encode()


def member(project: Project, name: str) -> bytes:
    """Return the member of a queue, an exchange or the like of a project."""
    return project_bytes(project) + SEPARATOR + stored_name(name)


def scope_of(stored: bytes) -> tuple[Project, str]:
    """Return the project and the name of a member."""
    project, _, name = stored.partition(SEPARATOR)
    return keys.project_of(project.decode()), name_of(name)


def prefix_range(*parts: bytes) -> tuple[bytes, bytes]:
    """Return the bounds of the members that have these parts and further ones."""
    prefix = SEPARATOR.join(parts)
    return b"[" + prefix + SEPARATOR, b"(" + prefix + _AFTER_SEPARATOR
