"""Moves of queues out of a MongoDB, and into it.

A message that is put aside has a state of its own. A batch is stored in one transaction, which a server without them
cannot do: so it can be the source of a move, and not the target.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.cached_queue import FULL_RANGE
from kombu_pool.drivers.mongodb.codec import DELAYED_OR_CLAIMED, FREE_AGAIN, NEVER, PUT_ASIDE
from kombu_pool.drivers.mongodb.moved_batch import last_batch, replace_batch
from kombu_pool.drivers.mongodb.mover_sessions import MoverSessions
from kombu_pool.drivers.mongodb.post_confirmation import PostConfirmation
from kombu_pool.drivers.mongodb.posting import MessageWriter
from kombu_pool.drivers.mongodb.queue_scan import free_filters
from kombu_pool.drivers.mongodb.unique_holders import UniqueHolders
from kombu_pool.errors import (
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    MoveSuperseded,
    NotPermitted,
    QueueDoesNotExist,
)
from kombu_pool.moves import MovedMessage
from kombu_pool.storage.moving import BATCH_SIZE
from kombu_pool.storage.moving import MoveController as Contract

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pymongo.client_session import ClientSession

    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner
    from kombu_pool.model import IdempotencyKey, PresentId, Project

    Document = dict[str, Any]

_DUPLICATE_KEY: Final = 11000
#: Bytes of messages that end a batch.
_BATCH_BYTES: Final = 8 << 20
#: Attempts to store a batch whose unique ids producers take at the same time.
_MAX_ATTEMPTS: Final = 20


class MoveController(Contract):
    """Moves messages."""

    def __init__(self, store: QueueScanner) -> None:
        self._store = store
        self._client = store.client
        self._writer = MessageWriter(store)
        self._confirmation = PostConfirmation(store, self._writer)
        self._holders = UniqueHolders(store)
        self._sessions = MoverSessions(store.client)

    # The target.

    def set_epoch(self, queue: str, project: Project = None, *, incarnation: str, epoch: int) -> Sequence[str]:
        with self._client.translated():
            self._require_transactions(queue)
            found = self._require(project, queue, incarnation)
            while not self._enter_epoch(found, epoch):
                pass  # another process entered one meanwhile
            return last_batch(self._store, found)

    def _enter_epoch(self, queue: Queue, epoch: int) -> bool:
        """Let the queue take batches of an epoch, unless it takes those of a later one; False: the epoch has changed.

        A process that opens the queue for the one that moves it enters the same epoch, also late: the sessions of both
        are kept.
        """
        where = {**queue.document_filter, "a": queue.assigned}
        before = self._store.queues.find_one({**where, "o": {"$not": {"$gt": epoch}}}, {"o": 1, "t": 1})
        if before is None:
            raise self._refusal(queue)
        session, present = self._sessions.begin(queue, epoch), before.get("o")
        update: Document = {"$addToSet": {"t": session}}
        if present != epoch:
            self._sessions.end(before.get("t", ()))
            update = {"$set": {"o": epoch, "t": [session]}}
        return bool(self._store.queues.update_one({**where, "o": present}, update).matched_count)

    def store(
        self, queue: str, messages: Sequence[MovedMessage], project: Project = None, *, incarnation: str, epoch: int
    ) -> None:
        with self._client.translated():
            self._require_transactions(queue)
            found = self._require(project, queue, incarnation)
            for _ in range(_MAX_ATTEMPTS):
                held = self._held(found, messages)
                try:
                    documents = self._client.transact(
                        partial(self._store_batch, found, epoch, messages, held), self._sessions.find(found, epoch)
                    )
                except BulkWriteError as error:
                    if not _is_duplicate(error):
                        raise
                    continue  # a producer took a unique id meanwhile
                if documents is None:
                    raise self._refusal(found)
                self._expect_due(found, documents)
                return
            raise ConnectionError(f"{self._client.location}: producers take the unique ids of moved messages")

    def _require_transactions(self, queue: str) -> None:
        if not self._client.has_transactions:
            raise NotPermitted(
                f"queue {queue!r} cannot be moved into {self._client.location}: a standalone MongoDB has no"
                " transactions; moves into it need a replica set, of one member at least"
            )

    def _refusal(self, queue: Queue) -> Exception:
        """Return why a queue stores no batch."""
        found = self._store.queue(queue.project, queue.name)
        if found is None or found.assigned != queue.assigned:
            return QueueDoesNotExist(queue.name, queue.project)
        return MoveSuperseded(queue.name, queue.project)

    def _held(self, queue: Queue, messages: Sequence[MovedMessage]) -> Collection[str]:
        """Return those unique ids of messages that others hold already."""
        names = [message.unique[0] for message in messages if message.unique is not None]
        return self._holders.find(queue, names, self._store.now()) if names else ()

    def _store_batch(
        self,
        queue: Queue,
        epoch: int,
        messages: Sequence[MovedMessage],
        held: Collection[str],
        session: ClientSession,
    ) -> list[Document] | None:
        """Store a batch but for what the last one had; return the new documents, None if another process moves."""
        ours = {**queue.document_filter, "a": queue.assigned, "o": epoch}
        # At least 1: without a change the transaction would not conflict with another epoch or incarnation.
        count, after = {"$inc": {"k": len(messages) or 1}}, ReturnDocument.AFTER
        counted = self._store.queues.find_one_and_update(ours, count, {"k": 1}, return_document=after, session=session)
        if counted is None:
            return None
        had = {*replace_batch(self._store, queue, [message.id for message in messages], session)}
        ids = codec.moved_ids(queue.incarnation, counted["k"], [message.priority for message in messages])
        now = self._store.now()
        documents = [
            _document(queue, message_id, message, held, now)
            for message_id, message in zip(ids, messages, strict=True)
            if message.id not in had
        ]
        if documents:
            self._store.messages.insert_many(documents, session=session)
        return documents

    def _expect_due(self, queue: Queue, documents: Sequence[Document]) -> None:
        """Have claims find the delayed ones in time; free those that became due before they were visible."""
        due = [one["r"] for one in documents if one["r"]]
        if due:
            now = self._store.now()
            if min(due) <= now:
                ids = [one["_id"] for one in documents]
                where = {**queue.scope, "_id": {"$in": ids}, "s": DELAYED_OR_CLAIMED, "c": None, "r": {"$lte": now}}
                self._store.messages.update_many(where, states.MAKE_FREE)
            self._store.expect_due(queue.project, queue.name, min(due))

    # The source.

    def take(
        self, queue: str, project: Project = None, limit: int = BATCH_SIZE, *, incarnation: str, delayed: bool = False
    ) -> Sequence[MovedMessage]:
        with self._client.translated():
            now = self._store.now()
            scan = self._store.scan(project, queue, now, 0, incarnation)
            if scan is None:
                return []
            aside = self._put_aside(scan.queue)
            while not aside and (messages := self._pick(scan.queue, now, limit, delayed=delayed)):
                # Fewer if consumers claim some meanwhile.
                free = {**scan.queue.scope, "_id": {"$in": messages}, "$or": [states.free(now), states.delayed(now)]}
                self._store.messages.update_many(free, states.PUT_ASIDE_UPDATE, hint=states.BY_ID)
                aside = self._put_aside(scan.queue)
            return [_to_moved(stored) for stored in aside]

    def _put_aside(self, queue: Queue) -> list[Document]:
        """Return the messages that are put aside, in order, and the delayed ones after the free ones."""
        where = {**queue.scope, "s": PUT_ASIDE}
        # Without a bound, as two processes may have put aside a batch each.
        found = self._store.messages.find(where, sort=[*states.ORDER], hint=states.BY_ORDER)
        return sorted(found, key=lambda one: bool(one["r"]))

    def _pick(self, queue: Queue, now: float, limit: int, *, delayed: bool) -> list[bytes]:
        """Return the ids of the first messages to put aside."""
        parts = [] if delayed else [{"$or": free_filters(queue.scope, FULL_RANGE, now)}]
        picked: list[bytes] = []
        size = 0
        for where in (*parts, {**queue.scope, **states.delayed(now)}):
            if (left := limit - len(picked)) <= 0:
                break
            fields = {"size": {"$binarySize": "$b"}}
            find = partial(self._store.messages.find, where, fields, sort=[("_id", 1)], limit=left)
            with find(hint=states.BY_ORDER, batch_size=left + 1) as cursor:
                for found in cursor:
                    picked.append(found["_id"])
                    size += found["size"]
                    if size > _BATCH_BYTES:
                        return picked
        return picked

    def remove(self, queue: str, message_ids: Collection[str], project: Project = None, *, incarnation: str) -> None:
        with self._client.translated():
            found = self._require(project, queue, incarnation)
            ids = codec.parse_ids(message_ids)
            self._store.messages.delete_many({**found.scope, "_id": {"$in": ids}, "s": PUT_ASIDE}, hint=states.BY_ID)

    def remaining(self, queue: str, project: Project = None, *, incarnation: str) -> int:
        with self._client.translated():
            found = self._store.queue(project, queue)
            if found is None:
                return 0
            if not found.bears(incarnation):
                raise QueueDoesNotExist(queue, project)
            now, since = self._store.now(), found.expires_to_dlq_since
            # What expires to the dead letters is none yet.
            where = {**found.scope, **states.stored(now if since is None else since)}
            count = self._store.messages.count_documents(where, limit=BATCH_SIZE, hint=states.BY_ORDER)
            return count or self._holders.count_timed(found, now, BATCH_SIZE)

    def completed_post(
        self, queue: str, idempotency_key: IdempotencyKey, project: Project = None
    ) -> Sequence[str] | None:
        with self._client.translated():
            found = self._store.queue(project, queue)
            if found is None or (post := self._writer.completed_post(found, idempotency_key)) is None:
                return None
            ids, answer = post
            return None if self._confirmation.is_withdrawn(found, ids) else answer

    def unique_holder(self, queue: str, unique_id: str, project: Project = None) -> PresentId | None:
        with self._client.translated():
            found = self._store.queue(project, queue)
            held = {} if found is None else self._holders.find(found, [unique_id], self._store.now())
            return held[unique_id].id if unique_id in held else None

    def _require(self, project: Project, queue: str, incarnation: str) -> Queue:
        """Return the queue that bears an incarnation, read now."""
        found = self._store.queue(project, queue)
        if found is None or not found.bears(incarnation):
            raise QueueDoesNotExist(queue, project)
        return found


def _document(queue: Queue, message_id: bytes, message: MovedMessage, held: Collection[str], now: float) -> Document:
    due = message.due if message.due is not None and message.due > now else None
    expires = NEVER if message.expires is None else message.expires
    document: Document = {
        "_id": message_id,
        **queue.scope,
        # Not new: its number is below the scan bounds of every process.
        "s": FREE_AGAIN if due is None else DELAYED_OR_CLAIMED,
        "r": due or 0.0,
        "x": expires,
        "n": message.claim_count,
        "c": None,
        "t": message.created,
        "l": message.ttl,
        "b": message.record,
    }
    others = {"u": message.client, "j": message.key, "d": message.dead_letter}
    document.update({name: value for name, value in others.items() if value is not None})
    if message.unique is not None and message.unique[0] not in held:
        document.update({"v": message.unique[0], **({"vw": True} if message.unique[1] else {})})
    if queue.expires_to_dlq(expires):
        document["e"] = True
    return document


def _to_moved(stored: Mapping[str, Any]) -> MovedMessage:
    return MovedMessage(
        id=stored["_id"].hex(),
        record=stored["b"],
        created=stored["t"],
        ttl=stored["l"],
        priority=codec.priority_of(stored["_id"]),
        expires=None if stored["y"] == NEVER else stored["y"],
        due=stored["r"] or None,
        claim_count=stored["n"],
        key=stored.get("j"),
        client=stored.get("u"),
        dead_letter=stored.get("d"),
        unique=(stored["v"], "vw" in stored) if "v" in stored else None,
    )


def _is_duplicate(error: BulkWriteError) -> bool:
    """Return whether a message was refused as another one holds its unique id."""
    failures = (error.details or {}).get("writeErrors", [])
    return any(failure["code"] == _DUPLICATE_KEY for failure in failures)
