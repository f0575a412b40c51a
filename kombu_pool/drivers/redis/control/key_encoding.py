"""How projects and names become members of a hash or a sorted set.

The parts of a member have a NUL between them. Whatever a name holds, its stored form holds none, and two stored forms
are in the byte order of their names: so the members that begin alike are a range of a sorted set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.redis import keys

if TYPE_CHECKING:
    from kombu_pool.model import Project

SEPARATOR = b"\0"
_BEHIND = b"\1"


def stored_name(name: str) -> bytes:
    """Return the stored form of a name."""
    return keys.name_bytes(name).replace(b"\1", b"\1\2").replace(b"\0", b"\1\1")


def name_of(stored: bytes) -> str:
    """Return the name of its stored form."""
    return keys.name_of(stored.replace(b"\1\1", b"\0").replace(b"\1\2", b"\1"))


def project_bytes(project: Project) -> bytes:
    """Return the stored form of a project."""
    return keys.project_key(project).encode()


def member(project: Project, name: str) -> bytes:
    """Return the member of a project's queue, exchange, or the like."""
    return project_bytes(project) + SEPARATOR + stored_name(name)


def scope_of(stored: bytes) -> tuple[Project, str]:
    """Return the project and the name of a member."""
    project, _, name = stored.partition(SEPARATOR)
    return keys.project_of(project.decode()), name_of(name)


def span(*parts: bytes) -> tuple[bytes, bytes]:
    """Return the bounds of the members that begin with these parts, and go on."""
    beginning = SEPARATOR.join(parts)
    return b"[" + beginning + SEPARATOR, b"(" + beginning + _BEHIND
