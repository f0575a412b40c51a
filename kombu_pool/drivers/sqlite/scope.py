"""How projects, message ids and claim ids are written in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kombu_pool.model import Project

_LONGEST_ID = 18  # digits that always fit into SQLite's integers
_CLAIM_DIGITS = 16


def project_key(project: Project) -> str:
    """Return the stored form of a project: None differs from every string."""
    return "" if project is None else f"={project}"


def project_of(key: str) -> Project:
    """Return the project of its stored form."""
    return key[1:] if key else None


def message_number(message_id: object) -> int:
    """Return the stored form of a message's id; -1, which is nobody's, for what cannot be one."""
    if isinstance(message_id, str) and len(message_id) <= _LONGEST_ID and message_id.isascii() and message_id.isdigit():
        return int(message_id)
    return -1


def claim_number(claim_id: object) -> int:
    """Return the stored form of a claim's id; -1, which is nobody's, for what cannot be one."""
    if not isinstance(claim_id, str) or len(claim_id) != _CLAIM_DIGITS or not claim_id.isascii():
        return -1
    try:
        number = int(claim_id, 16)
    except ValueError:
        return -1
    return number if f"{number:016x}" == claim_id and number < 1 << 63 else -1


def claim_name(number: int) -> str:
    """Return the id of a claim from its stored form."""
    return f"{number:016x}"
