"""Messages as Redis holds them: their ids and records, and the way back.

An id has eight bytes: 255 less the priority, then the message's number in its queue, so that ids in byte order are
messages in order. A record holds the time of the post and the ttl (two doubles), the lengths of the head (two bytes)
and of the key (one byte), the key, the head (MessagePack: client, dead letter header; empty without either), and the
record of the body. The script that stores a message puts the first eight bytes before the rest. All numbers are
big-endian.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from kombu_pool.codec import decode
from kombu_pool.drivers.records import age_of, to_seconds
from kombu_pool.drivers.redis.keys import name_bytes, name_of
from kombu_pool.errors import CorruptRecord
from kombu_pool.model import PresentId
from kombu_pool.storage import inspection
from kombu_pool.storage.inspection import HOLDER_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import DeadLetter, IdempotencyKey, Message
    from kombu_pool.moves import MovedMessage
    from kombu_pool.storage.validation import ValidMessage

ID_BYTES = 8
#: Bytes of a dead message's id: the number of its death, then its id.
DEAD_ID_BYTES = 16
_ID = re.compile(r"[0-9a-f]{16}")
_FIXED = struct.Struct(">ddHB")
_FIXED_BUT_TIME = struct.Struct(">dHB")
NO_IDEMPOTENCY_KEY = (b"", b"")
#: Argument of a script that any incarnation will do.
ANY_INCARNATION = b""
_SEQUENCE = struct.Struct(">d")
_COUNT = struct.Struct(">I")
_POSTED = struct.Struct(">8sH")
#: The beginnings of records without ttl and head, by the length of their key.
_NO_TTL_NO_HEAD = [_FIXED_BUT_TIME.pack(0.0, 0, length) for length in range(256)]
_MAX_HEAD_BYTES = 0xFFFF


class Record(NamedTuple):
    """The parts of a record."""

    created: float
    ttl: float
    client: str | None
    dead_letter: DeadLetter | None
    key: str | None
    body: bytes


def pack(ttl: float, client: str | None, dead_letter: DeadLetter | None, body: bytes, key: str | None = None) -> bytes:
    """Return the record of a message without the time of its post."""
    name = b"" if key is None else key.encode()
    if not ttl and client is None and dead_letter is None:
        return _NO_TTL_NO_HEAD[len(name)] + name + body
    head = b"" if client is None and dead_letter is None else msgspec.msgpack.encode((client, dead_letter))
    if len(head) > _MAX_HEAD_BYTES:
        head = msgspec.msgpack.encode((None, dead_letter))
    return _FIXED_BUT_TIME.pack(ttl, len(head), len(name)) + name + head + body


def pack_idempotency_key(key: IdempotencyKey | None) -> tuple[bytes, bytes]:
    """Return an idempotency key as two arguments of a script."""
    return NO_IDEMPOTENCY_KEY if key is None else (b"@" + key.producer, _SEQUENCE.pack(key.sequence))


def pack_incarnation(incarnation: str | None) -> bytes:
    """Return an incarnation as a queue's hash and the scripts have it; None: any."""
    return ANY_INCARNATION if incarnation is None else b"=" + name_bytes(incarnation)


def unpack_incarnation(stored: bytes) -> str:
    """Return an incarnation from its stored form."""
    return name_of(stored[1:])


def holder_tag(holder: str | None) -> bytes:
    """Return the tag of a claim's holder; zeros without one."""
    return bytes(HOLDER_BYTES) if holder is None else inspection.holder_tag(holder)


def post_options(message: ValidMessage) -> str:
    """Return priority, ttl, delay and uniqueness as the script that stores the message takes them."""
    unique = message.unique
    if not message.priority and not message.ttl and message.delay is None and unique is None:
        return ""
    delay = "" if message.delay is None else repr(message.delay)
    options = f"{message.priority}:{message.ttl!r}:{delay}"
    return options if unique is None else f"{options}\n{unique.scope}:{unique.conflict}:{unique.id}"


def pack_moved(message: MovedMessage) -> bytes:
    """Return the record of a message that moved here, with the time of its post."""
    dead_letter = cast("DeadLetter | None", message.dead_letter)
    packed = pack(message.ttl, message.client, dead_letter, message.record, message.key)
    return struct.pack(">d", message.created) + packed


def unpack(stored: bytes) -> Record:
    """Return the parts of a record.

    Raises:
        CorruptRecord: it is incomplete, or not a record.
    """
    try:
        created, ttl, length, key_length = _FIXED.unpack_from(stored)
        start = _FIXED.size + key_length
        key = stored[_FIXED.size : start].decode() if key_length else None
        client, dead_letter = msgspec.msgpack.decode(stored[start : start + length]) if length else (None, None)
    except (struct.error, msgspec.DecodeError, ValueError, TypeError) as error:
        raise CorruptRecord(str(error) or type(error).__name__) from error
    return Record(created, ttl, client, dead_letter, key, stored[start + length :])


def to_message(message_id: bytes, stored: bytes, claim_id: str | None, claim_count: int, now: float) -> Message:
    """Return a message.

    Raises:
        CorruptRecord: its record cannot be decoded.
    """
    created, ttl, _, dead_letter, key, body = unpack(stored)
    message: Message = {
        "id": message_id.hex(),
        "age": age_of(created, ttl, now),
        "ttl": to_seconds(ttl),
        "body": decode(body),
        "claim_id": claim_id,
        "claim_count": claim_count,
    }
    if message_id[0] != 255:  # noqa: PLR2004 - priority 0, as the module says
        message["priority"] = 255 - message_id[0]
    if key is not None:
        message["key"] = key
    if dead_letter is not None:
        message["dead_letter"] = dead_letter
    return message


def to_messages(found: Sequence[Any], ids: Sequence[bytes]) -> list[Message]:
    """Return the messages that exist, from (records, claim counts, their claims, now)."""
    stored, claim_counts, claims, now = found
    messages = []
    for index, message_id in enumerate(ids):
        if stored[index] is not None:
            count, last_claim = claim_count_of(claim_counts, index)
            claim = claims[index]
            claim_id, count = (claim.hex(), count + 1) if claim else (last_claim, count)
            messages.append(to_message(message_id, stored[index], claim_id, count, float(now)))
    return messages


def claim_count_of(claim_counts: Sequence[bytes | None], index: int) -> tuple[int, str | None]:
    """Return the number of a message's ended claims, and the id of the last one unless that released it."""
    found = claim_counts[index] if index < len(claim_counts) else None
    if found is None:
        return 0, None
    count, _, claim = found.partition(b":")
    return int(count), claim.hex() or None


def split_ids(joined: bytes, size: int = ID_BYTES) -> list[bytes]:
    """Return the ids that a script joined."""
    return [joined[start : start + size] for start in range(0, len(joined), size)]


def hex_ids(joined: bytes) -> list[str]:
    """Return the ids that a script joined, in hexadecimal."""
    text = joined.hex()
    return [text[start : start + 16] for start in range(0, len(text), 16)]


def unpack_posted(kept: bytes) -> list[str]:
    """Return the ids of a post from what is kept of it: see ``lua/include/idempotency.lua``."""
    first, others = kept[:ID_BYTES], kept[ID_BYTES:]
    if len(others) <= _COUNT.size:
        count = _COUNT.unpack(others)[0] if others else 1
        number = int.from_bytes(first, "big")
        return [f"{number + place:016x}" for place in range(count)]
    ids, start = [], 0
    while start < len(others):
        message_id, length = _POSTED.unpack_from(others, start)
        start += _POSTED.size
        key = others[start : start + length - 1].decode() if length else ""
        ids.append(PresentId.of(message_id.hex(), key or None) if length else message_id.hex())
        start += max(0, length - 1)
    return ids


def parse_id(text: object) -> bytes | None:
    """Return the id of a message or a claim from its hexadecimal form, None for any other value."""
    return bytes.fromhex(text) if isinstance(text, str) and _ID.fullmatch(text) else None


def parse_ids(texts: Sequence[str]) -> list[bytes]:
    """Return the ids of hexadecimal texts, each once, without other values."""
    ids = (parse_id(text) for text in dict.fromkeys(texts))
    return [found for found in ids if found is not None]
