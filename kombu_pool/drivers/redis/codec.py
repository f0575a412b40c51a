"""How messages are laid out in Redis, and how they are shown.

An id is eight bytes: 255 less the priority, then the message's number in its queue, so that ids in byte order are
messages in order. A record is: when it was posted and its ttl (two doubles), the length of its head (two bytes), its
head (MessagePack: client, dead letter; absent when neither is known), and its body's record. The first eight bytes are
put before the rest by the script that stores it. All numbers are big-endian.
"""

from __future__ import annotations

import math
import re
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from kombu_pool.codec import decode
from kombu_pool.errors import CorruptRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import DeadLetter, IdempotencyKey, Message
    from kombu_pool.storage.validation import ValidMessage

ID_BYTES = 8
#: A dead message: the number of its death, and its id.
DEAD_BYTES = 16
_ID = re.compile(r"[0-9a-f]{16}")
_REST = struct.Struct(">dH")
_FRONT = struct.Struct(">ddH")
NO_TICKET = (b"", b"")
_NUMBER = struct.Struct(">d")
_PLAIN = _REST.pack(0.0, 0)
_LONGEST_HEAD = 0xFFFF


class Stored(NamedTuple):
    """A record, taken apart."""

    created: float
    ttl: float
    client: str | None
    dead_letter: DeadLetter | None
    record: bytes


def pack(ttl: float, client: str | None, dead_letter: DeadLetter | None, record: bytes) -> bytes:
    """Return the record of a message, but for the time at which it is posted."""
    if not ttl and client is None and dead_letter is None:
        return _PLAIN + record
    head = b"" if client is None and dead_letter is None else msgspec.msgpack.encode((client, dead_letter))
    if len(head) > _LONGEST_HEAD:
        head = msgspec.msgpack.encode((None, dead_letter))
    return _REST.pack(ttl, len(head)) + head + record


def pack_ticket(idempotency_key: IdempotencyKey | None) -> tuple[bytes, bytes]:
    """Return a ticket as the scripts want it."""
    return (
        NO_TICKET
        if idempotency_key is None
        else (b"@" + idempotency_key.producer, _NUMBER.pack(idempotency_key.sequence))
    )


def storable(text: str) -> str:
    """Return a text of which all can be stored: for what UTF-8 cannot hold, a queue's name may, it has escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def asked(incoming: ValidMessage) -> str:
    """Return what a message asks of the script that stores it."""
    if not incoming.priority and not incoming.ttl and incoming.delay is None:
        return ""
    delay = "" if incoming.delay is None else repr(incoming.delay)
    return f"{incoming.priority}:{incoming.ttl!r}:{delay}"


def unpack(stored: bytes) -> Stored:
    """Take a record apart.

    Raises:
        CorruptRecord: it is none of ours, or not whole.
    """
    try:
        created, ttl, length = _FRONT.unpack_from(stored)
        client, dead_letter = msgspec.msgpack.decode(stored[18 : 18 + length]) if length else (None, None)
    except (struct.error, msgspec.DecodeError, ValueError, TypeError) as error:
        raise CorruptRecord(str(error) or type(error).__name__) from error
    return Stored(created, ttl, client, dead_letter, stored[18 + length :])


def shown(message: bytes, stored: bytes, claim_id: str | None, claim_count: int, now: float) -> Message:
    """Return a message.

    Raises:
        CorruptRecord: its record cannot be decoded.
    """
    created, ttl, _, dead_letter, record = unpack(stored)
    view: Message = {
        "id": message.hex(),
        "age": max(0, int(now - created)),
        "ttl": seconds(ttl),
        "body": decode(record),
        "claim_id": claim_id,
        "claim_count": claim_count,
    }
    if message[0] != 255:  # noqa: PLR2004 - priority 0, as the module says
        view["priority"] = 255 - message[0]
    if dead_letter is not None:
        view["dead_letter"] = dead_letter
    return view


def read(found: Sequence[Any], messages: Sequence[bytes]) -> list[Message]:
    """Return those of the messages that are there, from (records, marks, claims that hold them, now)."""
    stored, marks, holders, now = found
    views = []
    for index, message in enumerate(messages):
        if stored[index] is not None:
            count, last = mark(marks, index)
            holder = holders[index]
            claim_id, count = (holder.hex(), count + 1) if holder else (last, count)
            views.append(shown(message, stored[index], claim_id, count, float(now)))
    return views


def mark(marks: Sequence[bytes | None], index: int) -> tuple[int, str | None]:
    """Return how often a message came back from a claim, and from which unless that released it."""
    found = marks[index] if index < len(marks) else None
    if found is None:
        return 0, None
    count, _, claim = found.partition(b":")
    return int(count), claim.hex() or None


def seconds(value: float) -> float:
    """Return a duration as it was given: a whole number if it is one."""
    return int(value) if math.isfinite(value) and value == int(value) else value


def split(ids: bytes, size: int = ID_BYTES) -> list[bytes]:
    """Return the ids that a script joined."""
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def names(ids: bytes) -> list[str]:
    """Return the names of the ids that a script joined."""
    text = ids.hex()
    return [text[start : start + 16] for start in range(0, len(text), 16)]


def id_of(name: object) -> bytes | None:
    """Return the id of a message or a claim by its name; None for what cannot be one."""
    return bytes.fromhex(name) if isinstance(name, str) and _ID.fullmatch(name) else None


def ids_of(given: Sequence[str]) -> list[bytes]:
    """Return the ids of the names, each once, without what cannot be one."""
    ids = (id_of(name) for name in dict.fromkeys(given))
    return [message for message in ids if message is not None]
