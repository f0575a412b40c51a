"""The documents of messages in MongoDB, and their conversion.

One message is one document::

    _id  its id             p, q, i  project, queue, and incarnation of the queue
    s    its state          r        end of its delay or of its claim, if it has one
    x    its expiry         n        number of times that it was claimed
    c    its last claim     a, m     start or last renewal of that claim, and its ttl
    h    tag of the holder that the claim names, if it names one
    t    time of its post   l        ttl      u  client id of the producer      b  record of the body
    d    dead-letter header          o        id of its post while that is partial
    e    True if its expiry makes it a dead letter: an index finds it then
    j    its key, if it has one        g  the due time that a change gave it: watches wait until then
    v    the unique id that it holds, which an index keeps unique        vw  True if until it is claimed only
    vs   the unique id that a hold keeps for it; see unique

A message that is put aside for a move has an infinite ``x``, too, and in ``y`` the expiry that it had.

A dead message also has::

    w    reason             k        time of death; dead letters move in its order
    y    the expiry that it had: ``x`` is infinite, so that nothing collects it
    r    end of its reservation by a process whose mark is ``c``
    z    the id that it gets in its dead-letter queue, on a server without transactions

The other documents among the messages have a state of their own, or no expiry: the records of
:mod:`~kombu_pool.drivers.mongodb.idempotency`, the holds of :mod:`~kombu_pool.drivers.mongodb.unique_holders`, the last
batch of :mod:`~kombu_pool.drivers.mongodb.moved_batch`, the gates of :mod:`~kombu_pool.drivers.mongodb.seal_gates`, and
the sentinels of :mod:`~kombu_pool.drivers.mongodb.scan_sentinels`.

An id has sixteen bytes: 255 less the priority; a number of eight bytes, the time in microseconds; seven random bytes of
the process. So messages in the byte order of their ids are in the order of the queue. A message that came by a move has
a number that its queue counts, from 1, and seven random bytes of the queue: it is before all that are posted.
"""

from __future__ import annotations

import math
import os
import re
import threading
from typing import TYPE_CHECKING, Any, Final

from kombu_pool.codec import decode
from kombu_pool.drivers.records import age_of, to_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kombu_pool.model import Message, Project

#: States of a document. Free again: after a claim or a delay. Partial: of a post that is not stored completely.
FREE_AGAIN: Final = -1
FREE_NEW: Final = 0
DELAYED_OR_CLAIMED: Final = 1
PARTIAL: Final = 2
DEAD: Final = 3
IDEMPOTENCY_RECORD: Final = 4
PUT_ASIDE: Final = 5

NEVER: Final = math.inf
_ID = re.compile(r"[0-9a-f]{32}")
_CLAIM_ID = re.compile(r"[0-9a-f]{16}")
_PROCESS_BYTES = 7
_NUMBER_BYTES = 8
_MICROSECONDS = 1_000_000


class IdGenerator:
    """Generates the ids of one process, in ascending order within a priority."""

    def __init__(self) -> None:
        self._process = os.urandom(_PROCESS_BYTES)
        self._last = 0
        self._lock = threading.Lock()

    def next_ids(self, now: float, priorities: Sequence[int]) -> list[bytes]:
        """Return an id for a message of each priority; their numbers exceed all that were generated before."""
        count = len(priorities)
        with self._lock:
            first = max(self._last + 1, number_at(now))
            self._last = first + count - 1
        return [
            bytes((255 - priority,)) + (first + index).to_bytes(_NUMBER_BYTES, "big") + self._process
            for index, priority in enumerate(priorities)
        ]


def moved_ids(incarnation: bytes, last: int, priorities: Sequence[int]) -> list[bytes]:
    """Return an id for a moved message of each priority, given the last number of them."""
    first = last - len(priorities) + 1
    return [
        bytes((255 - priority,)) + (first + index).to_bytes(_NUMBER_BYTES, "big") + incarnation[-_PROCESS_BYTES:]
        for index, priority in enumerate(priorities)
    ]


def number_at(now: float) -> int:
    """Return the smallest number of an id that is generated at a time."""
    return int(now * _MICROSECONDS)


def number_of(message: bytes) -> int:
    """Return the number in an id."""
    return int.from_bytes(message[1 : 1 + _NUMBER_BYTES], "big")


def smallest_id(first: int, number: int = 0) -> bytes:
    """Return the smallest id with this first byte and at least this number."""
    return bytes((first,)) + number.to_bytes(_NUMBER_BYTES, "big") + bytes(_PROCESS_BYTES)


def priority_of(message: bytes) -> int:
    """Return the priority in an id."""
    return 255 - message[0]


def project_key(project: Project) -> str:
    """Return the stored form of a project; that of None differs from that of every string."""
    return "" if project is None else f"/{project}"


def project_of(key: str) -> Project:
    """Return the project of a stored form."""
    return key[1:] if key else None


def new_claim_id() -> str:
    """Return the id of a new claim."""
    return os.urandom(8).hex()


def is_claim_id(name: object) -> bool:
    """Return whether a name has the form of a claim's id."""
    return isinstance(name, str) and _CLAIM_ID.fullmatch(name) is not None


def parse_id(name: object) -> bytes | None:
    """Return a message's id from its hexadecimal name; None for any other name."""
    return bytes.fromhex(name) if isinstance(name, str) and _ID.fullmatch(name) else None


def parse_ids(names: Iterable[str]) -> list[bytes]:
    """Return the ids of the names that are ids, each once."""
    ids = (parse_id(name) for name in dict.fromkeys(names))
    return [message for message in ids if message is not None]


def to_message(stored: Mapping[str, Any], now: float) -> Message:
    """Return the message of a document.

    Raises:
        CorruptRecord: its record cannot be decoded.
    """
    message: Message = {
        "id": stored["_id"].hex(),
        "age": age_of(stored["t"], stored["l"], now),
        "ttl": to_seconds(stored["l"]),
        "body": decode(stored["b"]),
        "claim_id": stored["c"],
        "claim_count": stored["n"],
    }
    if priority := priority_of(stored["_id"]):
        message["priority"] = priority
    if (key := stored.get("j")) is not None:
        message["key"] = key
    if (header := stored.get("d")) is not None:
        message["dead_letter"] = header
    return message
