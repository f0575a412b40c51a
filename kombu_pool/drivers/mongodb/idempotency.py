"""How a post with an idempotency key is recognised when it is made again, although its messages may be gone.

A single message: as MongoDB recognises a retried write, by a transaction number in a session. The session's id is
derived from the producer and the queue, the number is the post's sequence number, and the server remembers the last
number of each session. A client sends both with every write, so it costs nothing. PyMongo's own session ids are random,
so another session object, or another process, could not repeat them.

Several messages, or a server without such memory: an *idempotency record*, a document that is stored among the messages
together with them, and that no reader takes for one: ``_id`` from queue and key, ``k`` the ids of the messages, ``x``
its expiry. ``h`` is what a post with unique messages returned, those that it dropped too.

A record without ids is *void*: its post was not made, and is refused from then on. The record is stored in the
producer's session, in place of the message, so it stands for either kind of post.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from bson import Binary, Int64
from bson.binary import UUID_SUBTYPE
from pymongo.errors import AutoReconnect, BulkWriteError, WriteConcernError, WriteError, WTimeoutError

from kombu_pool.drivers.mongodb.codec import IDEMPOTENCY_RECORD
from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.model import PresentId
from kombu_pool.storage import IDEMPOTENCY_WINDOW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo import MongoClient
    from pymongo.client_session import ClientSession

    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.store import Store
    from kombu_pool.model import IdempotencyKey

_DUPLICATE_KEY = 11000
_WRITE_CONCERN_TIMEOUT = 64
_SESSION_BYTES, _RECORD_BYTES = 16, 20


class ProducerSessions:
    """Sessions of the store's client; each is used by one write at a time, under the id of that write's producer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._idle: deque[tuple[MongoClient[Any], ClientSession]] = deque()

    def insert(self, queue: Queue, document: dict[str, Any], idempotency_key: IdempotencyKey) -> bytes:
        """Store a message unless its post was made before; return its id, or the id from then."""
        if self._store.client.reports_retries:
            answer = self._write_with_retry(queue, idempotency_key, {"insert": "", "documents": [document]})
            if "retriedStmtIds" not in answer:
                return bytes(document["_id"])
        stored = self._upsert(queue, document, {}, idempotency_key)
        if stored == record_id(queue, idempotency_key):
            raise QueueDoesNotExist(queue.name, queue.project)
        return stored

    def void(self, queue: Queue, idempotency_key: IdempotencyKey, now: float) -> bytes | None:
        """Store a void record unless the post was made; return the id of the post's message, None if it is void.

        Raises:
            DuplicateKeyError: the post has a record.
        """
        record = idempotency_record(queue, idempotency_key, (), now)
        stored = self._upsert(queue, record, {"k": []}, idempotency_key)
        return None if stored == record["_id"] else stored

    def _upsert(
        self, queue: Queue, document: dict[str, Any], where: dict[str, Any], idempotency_key: IdempotencyKey
    ) -> bytes:
        """Store a document unless the session's write was done before; return the id of what is stored.

        The server repeats only the answer of findAndModify with the id; it may answer so to a repeated insertion.
        """
        where = {**where, "_id": document["_id"], "p": document["p"], "q": document["q"]}
        command = {"findAndModify": "", "query": where, "update": document, "upsert": True}
        answer = self._write_with_retry(queue, idempotency_key, command)
        return bytes(answer["lastErrorObject"].get("upserted", document["_id"]))

    def _write_with_retry(
        self, queue: Queue, idempotency_key: IdempotencyKey, command: dict[str, Any]
    ) -> dict[str, Any]:
        """Write, again if the answer was lost: the server does it once."""
        try:
            return self._write(queue, idempotency_key, command)
        except AutoReconnect:
            return self._write(queue, idempotency_key, command)

    def _write(self, queue: Queue, idempotency_key: IdempotencyKey, command: dict[str, Any]) -> dict[str, Any]:
        messages = self._store.messages
        command[next(iter(command))] = messages.name
        command["txnNumber"] = Int64(idempotency_key.sequence)
        command["writeConcern"] = messages.write_concern.document
        mongo_client = self._store.client.mongo_client
        session = self._session(mongo_client)
        session_id = _digest(queue, idempotency_key.producer, _SESSION_BYTES)
        # The documented name of a session's id, which PyMongo sends unchanged.
        session.session_id["id"] = Binary(session_id, UUID_SUBTYPE)  # type: ignore[index]
        answer: dict[str, Any] = messages.database.command(command, session=session)
        self._idle.append((mongo_client, session))
        return _checked(answer)

    def _session(self, mongo_client: MongoClient[Any]) -> ClientSession:
        """Return an idle session of this client; none goes back into PyMongo's pool, as its id is changed."""
        while self._idle:
            of, session = self._idle.pop()
            if of is mongo_client:
                return session
        return mongo_client.start_session(causal_consistency=False)


def idempotency_record(
    queue: Queue,
    idempotency_key: IdempotencyKey,
    ids: Sequence[bytes],
    now: float,
    answer: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return the idempotency record of a post, with what it returned if that is more than the ids."""
    record = {
        "_id": record_id(queue, idempotency_key),
        **queue.scope,
        "s": IDEMPOTENCY_RECORD,
        "x": now + IDEMPOTENCY_WINDOW,
        "k": list(ids),
    }
    return record if answer is None else {**record, "h": _stored(answer)}


def _stored(ids: Sequence[str]) -> list[Any]:
    """Return the stored form of what a post with unique messages returned."""
    return [[one, one.key] if isinstance(one, PresentId) else one for one in ids]


def answer_in(record: Mapping[str, Any]) -> Sequence[str]:
    """Return what a recorded post returned."""
    if "h" not in record:
        return [message.hex() for message in record["k"]]
    return [one if isinstance(one, str) else PresentId.of(*one) for one in record["h"]]


def record_id(queue: Queue, idempotency_key: IdempotencyKey) -> bytes:
    """Return the id of a post's idempotency record."""
    return _digest(queue, idempotency_key.producer + idempotency_key.sequence.to_bytes(8, "big"), _RECORD_BYTES)


def record_id_of(post: bytes) -> bytes:
    """Return the id of the idempotency record in the id of a partial post."""
    return post[:_RECORD_BYTES]


def is_duplicate(error: BulkWriteError) -> bool:
    """Return whether an insertion failed because its first document, the idempotency record, exists."""
    failures = (error.details or {}).get("writeErrors", [])
    return bool(failures) and failures[0]["code"] == _DUPLICATE_KEY and failures[0]["index"] == 0


def _digest(queue: Queue, name: bytes, size: int) -> bytes:
    # The random incarnation makes it unique among the queues of all databases of the server.
    return blake2b(queue.incarnation + name, digest_size=size).digest()


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a write; raise PyMongo's error for a failure in it."""
    for failure in answer.get("writeErrors", ()):
        raise WriteError(failure["errmsg"], failure["code"], failure)
    failure = answer.get("writeConcernError")
    if failure is not None:
        kind = WTimeoutError if failure["code"] == _WRITE_CONCERN_TIMEOUT else WriteConcernError
        raise kind(failure["errmsg"], failure["code"], failure)
    return answer
