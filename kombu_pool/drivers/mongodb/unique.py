"""Stores unique messages, and what their posts change of those that hold their ids."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from pymongo.errors import BulkWriteError, WriteError

from kombu_pool.drivers.mongodb import idempotency
from kombu_pool.drivers.mongodb.codec import IDEMPOTENCY_RECORD
from kombu_pool.drivers.mongodb.unique_holders import UniqueHolders
from kombu_pool.errors import ConnectionError  # noqa: A004 - Zaqar's name for it
from kombu_pool.model import EXTEND, REPLACE
from kombu_pool.storage.unique import UniquePost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymongo.client_session import ClientSession

    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.limits import LengthLimit
    from kombu_pool.drivers.mongodb.message_keys import KeyedMessages
    from kombu_pool.drivers.mongodb.post_confirmation import PostConfirmation
    from kombu_pool.drivers.mongodb.posting import MessageWriter
    from kombu_pool.drivers.mongodb.store import Store
    from kombu_pool.drivers.mongodb.unique_holders import Held
    from kombu_pool.model import IdempotencyKey
    from kombu_pool.storage.validation import ValidMessage

    Document = dict[str, Any]

_DUPLICATE_KEY = 11000
#: Attempts at a post whose ids other processes take and free at the same time.
_MAX_ATTEMPTS = 100


class _Changes(NamedTuple):
    """What a post changes of the messages that hold its ids."""

    #: The documents that it deletes, as its own messages replace them.
    replaced: list[Document]
    #: What held ids that messages with the same key take over.
    freed: list[Held]
    #: Messages that wait, with their new due times.
    delayed: list[tuple[Document, float]]
    #: Holds, with their new ends.
    extended: list[tuple[Document, float]]


class _ChangedError(Exception):
    """Another process changed a message that was to be replaced."""


class UniqueWriter:
    """Posts with unique messages."""

    def __init__(
        self,
        store: Store,
        writer: MessageWriter,
        confirmation: PostConfirmation,
        limit: LengthLimit,
        keyed: KeyedMessages,
    ) -> None:
        self._store = store
        self._holders = UniqueHolders(store)
        self._writer = writer
        self._confirmation = confirmation
        self._limit = limit
        self._keyed = keyed

    def post(
        self,
        queue: Queue,
        messages: Sequence[ValidMessage],
        client_id: str | None,
        idempotency_key: IdempotencyKey | None,
    ) -> Sequence[str]:
        """Store the messages whose ids are free; return the ids of all."""
        post = UniquePost(messages)
        for _ in range(_MAX_ATTEMPTS):
            before = None if idempotency_key is None else self._writer.ids_of_duplicate(queue, idempotency_key)
            if before is not None:
                return self._as_before(queue, post, [message.hex() for message in before])
            now = self._store.now()
            changes = self._drop(post, self._held_by_others(queue, post, now), now)
            documents = self._writer.documents(queue, post.stored, client_id, now)
            holds = _holds(queue, post.stored, documents, now)
            answer = post.ids([document["_id"].hex() for document in documents])
            transaction = _Transaction(self._store, self._writer, self._keyed, changes, holds, answer, now)
            try:
                ids = self._store_all(queue, documents, idempotency_key, transaction)
            except (WriteError, BulkWriteError, _ChangedError) as error:
                if not _is_conflict(error):
                    raise
                continue
            return post.ids([message.hex() for message in ids])
        raise ConnectionError(f"{self._store.client.location}: other processes post the same unique messages")

    def _store_all(
        self,
        queue: Queue,
        documents: list[Document],
        idempotency_key: IdempotencyKey | None,
        transaction: _Transaction,
    ) -> list[bytes]:
        if not documents:
            transaction.apply()
            return []
        if queue.policy.is_bounded:
            ids = self._limit.post(queue, documents, idempotency_key, transaction.store, transaction.replaced)
        else:
            ids = transaction.store(queue, documents, idempotency_key)
        self._store.expect_due(queue.project, queue.name, min((one["r"] or math.inf) for one in documents))
        self._confirmation.check(queue, documents, ids)
        return ids

    def _held_by_others(self, queue: Queue, post: UniquePost, now: float) -> list[Held | None]:
        """Return what holds the ids of messages; an id whose scope is over is freed."""
        held = self._holders.find(queue, [one.unique.id for one in post.messages if one.unique is not None], now)
        return [None if message.unique is None else held.get(message.unique.id) for message in post.messages]

    def _drop(self, post: UniquePost, held: Sequence[Held | None], now: float) -> _Changes:
        """Drop the messages whose ids are held; return what the post changes of those that hold them."""
        changes = _Changes([], [], [], [])
        present: list[str | None] = []
        for message, one in zip(post.messages, held, strict=True):
            unique = message.unique
            if one is None or unique is None:
                present.append(None)
            elif post.takes_over(message, one.id.key, waits=one.waits(now)):
                changes.freed.append(one)
                present.append(None)
            elif unique.conflict == REPLACE and one.document is not None and one.waits(now):
                changes.replaced.extend(each for each in (one.document, one.hold) if each is not None)
                present.append(None)
            else:
                present.append(one.id)
                if unique.conflict == EXTEND:
                    _extend(changes, message, one, now)
        post.drop(present)
        return changes

    def _as_before(self, queue: Queue, post: UniquePost, before: Sequence[str]) -> Sequence[str]:
        """Return the ids of a post that was made before; those of the dropped ones as far as they can be told."""
        missing = len(post.messages) - len(before)
        present: list[str | None] = [None] * len(post.messages)
        held = self._held_by_others(queue, post, self._store.now()) if missing else ()
        for place, one in enumerate(held):
            if one is not None and one.id not in before and missing:
                present[place], missing = one.id, missing - 1
        post.drop(present)
        return post.ids([*before, *([before[-1]] * missing)])


class _Transaction:
    """One attempt to store messages; what they replace is deleted, and their holds are stored, with them.

    A server without transactions does it in steps: after a crash in between, an id may be held without a message for
    the seconds of its scope, or a message that was to be replaced is gone.
    """

    def __init__(
        self,
        store: Store,
        writer: MessageWriter,
        keyed: KeyedMessages,
        changes: _Changes,
        holds: Sequence[Document],
        answer: Sequence[str],
        now: float,
    ) -> None:
        self._store = store
        self._writer = writer
        self._keyed = keyed
        self._changes = changes
        self._holds = holds
        self._answer = answer
        self._now = now

    @property
    def replaced(self) -> Sequence[Document]:
        """The messages, and their holds, that it deletes."""
        return self._changes.replaced

    def store(
        self, queue: Queue, documents: list[Document], key: IdempotencyKey | None, *, recorded: bool = False
    ) -> list[bytes]:
        """Store messages as :meth:`MessageWriter.store` does; always recorded."""
        if not self._store.client.has_transactions:
            return self._store_in_steps(queue, documents, key)
        ids = [document["_id"] for document in documents]
        now, answer = documents[0]["t"], self._answer
        record = [] if key is None else [idempotency.idempotency_record(queue, key, ids, now, answer)]

        def write(session: ClientSession) -> None:
            self.apply(session)
            self._store.messages.insert_many([*record, *self._holds, *documents], session=session)

        self._store.client.transact(write)
        self._writer.free_late(documents)
        return ids

    def apply(self, session: ClientSession | None = None) -> None:
        """Delete what is replaced, free ids, delay messages that still wait, and extend holds."""
        messages, changes = self._store.messages, self._changes
        self._store.claim_cache.discard([one["_id"].hex() for one in changes.replaced])
        for one in changes.replaced:
            if not messages.delete_one(_same(one), session=session).deleted_count:
                raise _ChangedError
        for held in changes.freed:
            if held.hold is not None:
                messages.delete_one(_same(held.hold), session=session)
            elif held.document is not None:
                messages.update_one(_scope_of(held.document), {"$unset": {"v": "", "vw": ""}}, session=session)
        for document, due in changes.delayed:
            self._keyed.change_one(due, None, document, self._now, session)
        for hold, end in changes.extended:
            messages.update_one(_scope_of(hold), {"$max": {"x": end}}, session=session)

    def _store_in_steps(self, queue: Queue, documents: list[Document], key: IdempotencyKey | None) -> list[bytes]:
        self.apply()
        if self._holds:
            self._store.messages.insert_many(list(self._holds))
        try:
            return self._writer.store(queue, documents, key, recorded=True, answer=self._answer)
        except Exception:
            if self._holds:
                self._store.messages.delete_many({**queue.scope, "_id": {"$in": [one["_id"] for one in self._holds]}})
            raise


def _extend(changes: _Changes, message: ValidMessage, held: Held, now: float) -> None:
    document, due, unique = held.document, now + (message.delay or 0), message.unique
    if document is not None and held.waits(now) and due > max(document["r"], now):
        changes.delayed.append((document, due))
    if held.hold is not None and unique is not None and not isinstance(unique.scope, str):
        changes.extended.append((held.hold, now + unique.scope))


def _scope_of(found: Document) -> Document:
    return {key: found[key] for key in ("_id", "p", "q", "i")}


def _same(found: Document) -> Document:
    return {key: found[key] for key in ("_id", "p", "q", "i", "s", "r", "c", "x") if key in found}


def _holds(queue: Queue, messages: Sequence[ValidMessage], documents: Sequence[Document], now: float) -> list[Document]:
    """Return the holds of messages whose scope is a number of seconds."""
    holds = []
    for message, document in zip(messages, documents, strict=True):
        unique = message.unique
        if unique is not None and not isinstance(unique.scope, str):
            name = blake2b(queue.incarnation + b"unique" + unique.id.encode(), digest_size=20).digest()
            content = {"v": unique.id, "x": now + unique.scope, "k": [document["_id"]], "w": message.key}
            holds.append({"_id": name, **queue.scope, "s": IDEMPOTENCY_RECORD, **content})
    return holds


def _is_conflict(error: Exception) -> bool:
    """Return whether an id was taken, or freed, meanwhile."""
    if isinstance(error, BulkWriteError):
        failures = (error.details or {}).get("writeErrors", [])
        return any(one["code"] == _DUPLICATE_KEY for one in failures)
    return isinstance(error, _ChangedError) or (isinstance(error, WriteError) and error.code == _DUPLICATE_KEY)
