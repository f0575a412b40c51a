"""The stored form of projects, message ids and claim ids, and of the messages themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from kombu_pool import codec
from kombu_pool.drivers.records import age_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import Message, Project

#: id, rank, created, ttl, dead_letter, record, claim, claim_count, key, and whatever follows.
Row: TypeAlias = "tuple[Any, ...]"

_LONGEST_ID = 18  # digits that always fit into SQLite's integers
_CLAIM_DIGITS = 16


def project_key(project: Project) -> str:
    """Return the stored form of a project: None differs from every string."""
    return "" if project is None else f"={project}"


def project_of(key: str) -> Project:
    """Return the project of its stored form."""
    return key[1:] if key else None


def message_number(message_id: object) -> int:
    """Return the stored form of a message id; -1, which no message has, for a malformed one."""
    if isinstance(message_id, str) and len(message_id) <= _LONGEST_ID and message_id.isascii() and message_id.isdigit():
        return int(message_id)
    return -1


def claim_number(claim_id: object) -> int:
    """Return the stored form of a claim id; -1, which no claim has, for a malformed one."""
    if not isinstance(claim_id, str) or len(claim_id) != _CLAIM_DIGITS or not claim_id.isascii():
        return -1
    try:
        number = int(claim_id, 16)
    except ValueError:
        return -1
    return number if claim_id_of(number) == claim_id and number < 1 << 63 else -1


def claim_id_of(number: int) -> str:
    """Return the claim id of its stored form."""
    return f"{number:016x}"


def to_message(row: Row, now: float) -> Message:
    """Return the message of a row.

    Raises:
        CorruptRecord: its record cannot be decoded.
    """
    claim = row[6]
    return to_claimed_message(row, now, None if claim is None else claim_id_of(claim), row[7])


def to_claimed_message(row: Row, now: float, claim_id: str | None, claim_count: int) -> Message:
    """Return the message of a row, with the given claim and claim count."""
    message: Message = {
        "id": str(row[0]),
        "age": age_of(row[2], row[3], now),
        "ttl": row[3],
        "body": codec.decode(row[5]),
        "claim_id": claim_id,
        "claim_count": claim_count,
    }
    if row[1]:
        message["priority"] = -row[1]
    if row[8] is not None:
        message["key"] = row[8]
    if row[4] is not None:
        message["dead_letter"] = msgspec.msgpack.decode(row[4])
    return message


def to_messages(rows: Sequence[Row], now: float) -> list[Message]:
    """Return the messages of rows."""
    return [to_message(row, now) for row in rows]
