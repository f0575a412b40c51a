"""How a stored message is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from kombu_pool import codec
from kombu_pool.drivers.sqlite.scope import claim_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import Message

#: id, rank, created, ttl, dead_letter, record, claim, claim_count, and whatever follows.
Row: TypeAlias = "tuple[Any, ...]"


def shown(row: Row, now: float) -> Message:
    """Return the message of a row.

    Raises:
        CorruptRecord: its record cannot be decoded.
    """
    claim = row[6]
    return shown_as(row, now, None if claim is None else claim_name(claim), row[7])


def shown_as(row: Row, now: float, claim_id: str | None, claim_count: int) -> Message:
    """Return the message of a row, as lent by a claim."""
    age = int(now - row[2])
    message: Message = {
        "id": str(row[0]),
        "age": max(0, age),
        "ttl": row[3],
        "body": codec.decode(row[5]),
        "claim_id": claim_id,
        "claim_count": claim_count,
    }
    if row[1]:
        message["priority"] = -row[1]
    if row[4] is not None:
        message["dead_letter"] = msgspec.msgpack.decode(row[4])
    return message


def all_shown(rows: Sequence[Row], now: float) -> list[Message]:
    """Return the messages of rows."""
    return [shown(row, now) for row in rows]
