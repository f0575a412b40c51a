"""The gates of a queue, by which its seal and the transactions that store dead letters in it exclude each other.

A transaction that only read the queue could be committed after the seal. So it changes a gate, a document among the
messages that no reader takes for one, and the seal closes all gates: either it waits for the transaction, or that
conflicts with it, or finds the gate closed. There are several, of which a process uses one: processes that dead-letter
into one queue, and one that died in a transaction, do not hold up the others.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from kombu_pool.drivers.mongodb.codec import IDEMPOTENCY_RECORD, NEVER

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection

    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.states import Filter

    Messages = Collection[dict[str, Any]]

_GATES: Final = 16
_ID_BYTES: Final = 20
#: Bound of the gates that a process remembers.
_MAX_KNOWN: Final = 10_000
_NEW: Final = {"s": IDEMPOTENCY_RECORD, "x": NEVER}


class SealGates:
    """The gates that this process uses."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def create(self, messages: Messages, queue: Queue) -> None:
        """Create the gate of this process, unless it exists; before the transaction, so that the seal sees it."""
        if queue.incarnation not in self._known:
            # Another process may insert it at the same time.
            with suppress(DuplicateKeyError):
                messages.update_one(_gate(queue, os.getpid() % _GATES), {"$setOnInsert": _NEW}, upsert=True)
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known.add(queue.incarnation)

    @staticmethod
    def enter(messages: Messages, queue: Queue, session: ClientSession) -> bool:
        """Keep the queue from being sealed until the end of a transaction; return False if it is sealed."""
        open_gate = {**_gate(queue, os.getpid() % _GATES), "w": None}
        return messages.update_one(open_gate, {"$inc": {"k": 1}}, session=session).matched_count == 1

    @staticmethod
    def close(messages: Messages, queue: Queue) -> None:
        """Close all gates of a queue that is sealed; return once no transaction is open that entered one."""
        closing = {"$set": {**_NEW, "w": True}}
        gates = [UpdateOne(_gate(queue, number), closing, upsert=True) for number in range(_GATES)]
        try:
            messages.bulk_write(gates, ordered=False)
        except BulkWriteError:
            # A process inserted one at the same time.
            messages.bulk_write(gates, ordered=False)

    @staticmethod
    def open(messages: Messages, queue: Queue) -> None:
        """Open the gates of a queue that is sealed no more."""
        ids = [_gate(queue, number)["_id"] for number in range(_GATES)]
        messages.update_many({**queue.scope, "_id": {"$in": ids}}, {"$unset": {"w": ""}})


def _gate(queue: Queue, number: int) -> Filter:
    name = queue.incarnation + b"gate" + bytes((number,))
    return {"_id": blake2b(name, digest_size=_ID_BYTES).digest(), **queue.scope}
