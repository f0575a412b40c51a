"""How a post that is made again is known, though its messages may be gone by then.

One message: as MongoDB itself knows a write that a client tries again, by the number of a transaction in a session. The
session is the poster's in the queue, the number is the post's, and the server remembers the last one of each session.
That costs nothing, for a client sends both with every write; but those of PyMongo's own choice nobody can use again.

Several messages, or a server that keeps no such memory: a *receipt* that is stored with them, a document of its own
among the messages, which nobody reads as one: ``_id`` by queue and ticket, ``k`` the ids, ``x`` when it goes.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from bson import Binary, Int64
from bson.binary import UUID_SUBTYPE
from pymongo.errors import AutoReconnect, BulkWriteError, WriteConcernError, WriteError, WTimeoutError

from kombu_pool.drivers.mongodb.codec import IDEMPOTENCY_RECORD
from kombu_pool.storage import IDEMPOTENCY_WINDOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymongo import MongoClient
    from pymongo.client_session import ClientSession

    from kombu_pool.drivers.mongodb.store import Queue, Store
    from kombu_pool.model import IdempotencyKey

_DUPLICATE = 11000
_TIMED_OUT = 64
_SESSION_BYTES, _RECEIPT_BYTES = 16, 20


class Sessions:
    """The sessions of one store's client, lent to one write at a time, under the name of its poster."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._idle: deque[tuple[MongoClient[Any], ClientSession]] = deque()

    def insert(self, queue: Queue, document: dict[str, Any], idempotency_key: IdempotencyKey) -> bytes:
        """Store a message, if this was not done before; return its id, or that which it got then."""
        if self._store.client.reports_retries:
            answer = self._write_twice(queue, idempotency_key, {"insert": "", "documents": [document]})
            if "retriedStmtIds" not in answer:
                return bytes(document["_id"])
        # The server has no other way of saying what it stored than to answer this in place of that.
        where = {"_id": document["_id"], "p": document["p"], "q": document["q"]}
        found = {"findAndModify": "", "query": where, "update": document, "upsert": True}
        return bytes(self._write_twice(queue, idempotency_key, found)["lastErrorObject"]["upserted"])

    def _write_twice(self, queue: Queue, idempotency_key: IdempotencyKey, command: dict[str, Any]) -> dict[str, Any]:
        """Write, once more if the answer got lost: the server does it once."""
        try:
            return self._write(queue, idempotency_key, command)
        except AutoReconnect:
            return self._write(queue, idempotency_key, command)

    def _write(self, queue: Queue, idempotency_key: IdempotencyKey, command: dict[str, Any]) -> dict[str, Any]:
        messages = self._store.messages
        command[next(iter(command))] = messages.name
        command["txnNumber"] = Int64(idempotency_key.sequence)
        command["writeConcern"] = messages.write_concern.document
        client = self._store.client.mongo_client
        session = self._session(client)
        # The documented name of a session, which PyMongo sends as it stands.
        session.session_id["id"] = Binary(_named(queue, idempotency_key.producer, _SESSION_BYTES), UUID_SUBTYPE)  # type: ignore[index]
        answer: dict[str, Any] = messages.database.command(command, session=session)
        self._idle.append((client, session))
        return _checked(answer)

    def _session(self, client: MongoClient[Any]) -> ClientSession:
        """Return a session of this client; one that is never given back to it, for its name is not its own any more."""
        while self._idle:
            of, session = self._idle.pop()
            if of is client:
                return session
        return client.start_session(causal_consistency=False)


def receipt(queue: Queue, idempotency_key: IdempotencyKey, ids: Sequence[bytes], now: float) -> dict[str, Any]:
    """Return the receipt of a post."""
    return {
        "_id": receipt_id(queue, idempotency_key),
        **queue.scope,
        "s": IDEMPOTENCY_RECORD,
        "x": now + IDEMPOTENCY_WINDOW,
        "k": list(ids),
    }


def receipt_id(queue: Queue, idempotency_key: IdempotencyKey) -> bytes:
    """Return the id of a post's receipt."""
    return _named(queue, idempotency_key.producer + idempotency_key.sequence.to_bytes(8, "big"), _RECEIPT_BYTES)


def receipt_of(post: bytes) -> bytes:
    """Return the id of the receipt of a post whose messages are marked so while it is not whole."""
    return post[:_RECEIPT_BYTES]


def is_known(error: BulkWriteError) -> bool:
    """Tell whether documents were not stored because the receipt, the first of them, is there."""
    faults = (error.details or {}).get("writeErrors", [])
    return bool(faults) and faults[0]["code"] == _DUPLICATE and faults[0]["index"] == 0


def _named(queue: Queue, name: bytes, size: int) -> bytes:
    # The incarnation is the queue's alone, among those of all databases.
    return blake2b(queue.incarnation + name, digest_size=size).digest()


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a write; raises what PyMongo does for the fault that it tells of."""
    for fault in answer.get("writeErrors", ()):
        raise WriteError(fault["errmsg"], fault["code"], fault)
    fault = answer.get("writeConcernError")
    if fault is not None:
        kind = WTimeoutError if fault["code"] == _TIMED_OUT else WriteConcernError
        raise kind(fault["errmsg"], fault["code"], fault)
    return answer
