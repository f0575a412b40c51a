"""How messages are laid out in MongoDB, and how they are shown.

One message is one document::

    _id  its id           p, q, i  its project, its queue, and which incarnation of that
    s    its state        r        when it is in line (again): the end of its delay, or of its claim
    x    when it expires  n        how often it was lent
    c    its last claim   a, m     when that claim began, or was renewed, and its ttl
    t    when it was posted        l  its ttl       u  who posted it      b  its body's record
    d    its dead letter's header  o  the post that it came with, while that is not whole
    e    True if it is buried when it expires, so that it is found then

A dead one has besides::

    w    why it died      k        when, by which they are buried in order
    y    when it would have expired: ``x`` is never, so that nothing collects it
    r    until when somebody buries it, whose mark ``c`` is then
    z    the id that it gets in its dead-letter queue, where there are no transactions

An id is sixteen bytes: 255 less the priority; a number, which is the time in microseconds, of eight bytes; and seven
that only the process has which gave it: so ids in byte order are messages in order.
"""

from __future__ import annotations

import math
import os
import re
import threading
from typing import TYPE_CHECKING, Any, Final

from kombu_pool import codec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kombu_pool.model import Message, Project

#: States. In line: free, since it was posted; back in line: free again, or after a delay. Out of line until a time:
#: delayed, or claimed. Not there yet: of a post that is not whole. There no more: dead, but not buried yet. No message:
#: the receipt of a post.
FREE_AGAIN: Final = -1
FREE_NEW: Final = 0
DELAYED_OR_CLAIMED: Final = 1
PARTIAL: Final = 2
DEAD: Final = 3
IDEMPOTENCY_RECORD: Final = 4

NEVER: Final = math.inf
_ID = re.compile(r"[0-9a-f]{32}")
_CLAIM = re.compile(r"[0-9a-f]{16}")
_PRODUCER_BYTES = 7
_NUMBER_BYTES = 8
_MICROSECONDS = 1_000_000


class IdGenerator:
    """Gives the numbers of one process."""

    def __init__(self) -> None:
        self._producer = os.urandom(_PRODUCER_BYTES)
        self._last = 0
        self._lock = threading.Lock()

    def next_ids(self, now: float, priorities: Sequence[int]) -> list[bytes]:
        """Return an id for a message of each priority, above all that were given before."""
        count = len(priorities)
        with self._lock:
            first = max(self._last + 1, number_at(now))
            self._last = first + count - 1
        return [
            bytes((255 - priority,)) + (first + index).to_bytes(_NUMBER_BYTES, "big") + self._producer
            for index, priority in enumerate(priorities)
        ]


def number_at(now: float) -> int:
    """Return the least number that is given at a time."""
    return int(now * _MICROSECONDS)


def number_of(message: bytes) -> int:
    """Return the number in an id."""
    return int.from_bytes(message[1 : 1 + _NUMBER_BYTES], "big")


def smallest_id(first: int, number: int = 0) -> bytes:
    """Return the least id of a first byte, from a number on."""
    return bytes((first,)) + number.to_bytes(_NUMBER_BYTES, "big") + bytes(_PRODUCER_BYTES)


def priority_of(message: bytes) -> int:
    """Return the priority that an id says."""
    return 255 - message[0]


def project_key(project: Project) -> str:
    """Return the stored form of a project: None is none of the strings."""
    return "" if project is None else f"/{project}"


def project_of(key: str) -> Project:
    """Return the project of a stored form."""
    return key[1:] if key else None


def escape_surrogates(text: str) -> str:
    """Return a text of which all can be stored: what UTF-8 cannot hold is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def new_claim_id() -> str:
    """Return the id of a new claim."""
    return os.urandom(8).hex()


def is_claim_id(name: object) -> bool:
    """Tell whether it can be the id of a claim."""
    return isinstance(name, str) and _CLAIM.fullmatch(name) is not None


def parse_id(name: object) -> bytes | None:
    """Return the id of a message by its name; None for what cannot be one."""
    return bytes.fromhex(name) if isinstance(name, str) and _ID.fullmatch(name) else None


def parse_ids(given: Iterable[str]) -> list[bytes]:
    """Return the ids of the names, each once, without what cannot be one."""
    ids = (parse_id(name) for name in dict.fromkeys(given))
    return [message for message in ids if message is not None]


def to_message(stored: Mapping[str, Any], now: float) -> Message:
    """Return a message.

    Raises:
        CorruptRecord: its record cannot be decoded.
    """
    view: Message = {
        "id": stored["_id"].hex(),
        "age": max(0, int(now - stored["t"])),
        "ttl": seconds(stored["l"]),
        "body": codec.decode(stored["b"]),
        "claim_id": stored["c"],
        "claim_count": stored["n"],
    }
    if priority := priority_of(stored["_id"]):
        view["priority"] = priority
    if (letter := stored.get("d")) is not None:
        view["dead_letter"] = letter
    return view


def seconds(value: float) -> float:
    """Return a duration as it was given: a whole number if it is one."""
    return int(value) if math.isfinite(value) and value == int(value) else value
