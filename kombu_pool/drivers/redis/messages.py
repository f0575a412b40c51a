"""The controller of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.records import escape_surrogates
from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.codec import pack, post_options
from kombu_pool.drivers.redis.deletion import ACK, ClaimedPairs
from kombu_pool.drivers.redis.inspection import count_many, due_times
from kombu_pool.drivers.redis.message_keys import KeyedMessages
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import (
    ClaimDoesNotExist,
    ClaimDoesNotMatch,
    MessageIsClaimed,
    MessageNotClaimed,
    MessageNotClaimedBy,
    QueueDoesNotExist,
    QueueIsEmpty,
)
from kombu_pool.model import PresentId
from kombu_pool.storage import DEFAULT_LIMIT
from kombu_pool.storage import MessageController as Contract
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.inspection import MAX_COUNTED
from kombu_pool.storage.keys import check_change
from kombu_pool.storage.unique import UniquePost, has_unique
from kombu_pool.storage.validation import check_sort, validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kombu_pool.drivers.redis.claiming import Claimer
    from kombu_pool.drivers.redis.dead_letters import DeadLetters
    from kombu_pool.drivers.redis.location import Location
    from kombu_pool.drivers.redis.posting import MessageWriter
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import IdempotencyKey, KeyResult, Message, NewMessage, Project, QueueCounts

_GET_MANY = script("get_many", repeatable=True)
_PAGE = script("page", repeatable=True)
_DELAYED = script("delayed", repeatable=True)
_FIRST = script("first", repeatable=True)
_COUNT = script("count", repeatable=True)
_REJECT = script("reject")
_DELETE = script("delete", repeatable=True)
_DELETE_MANY = script("delete_many", repeatable=True)
_PURGE = script("purge")
_ANY_STATE = b"-"


class MessageController(Contract):
    """Messages in hashes, their states in sorted sets."""

    def __init__(
        self, store: Store, writer: MessageWriter, claimer: Claimer, dead_letters: DeadLetters, location: Location
    ) -> None:
        self._store = store
        self._client = store.client
        self._writer = writer
        self._claimer = claimer
        self._dead_letters = dead_letters
        self._keyed = KeyedMessages(store)
        self._max_message_size = location.max_message_size
        self.enable_checksum = location.enable_checksum

    def post(
        self,
        queue: str,
        messages: Iterable[NewMessage],
        client_uuid: object,
        project: Project = None,
        *,
        idempotency_key: IdempotencyKey | None = None,
        incarnation: str | None = None,
    ) -> Sequence[str]:
        client = None if client_uuid is None else escape_surrogates(str(client_uuid))
        arguments: list[Any] = [*codec.pack_idempotency_key(idempotency_key)]
        transient = True
        incoming = []
        for message in messages:
            incoming.append(validate(message, self._max_message_size))
            transient = transient and message.get("transient", False)
        if not incoming:
            return []
        post = UniquePost(incoming) if has_unique(incoming) else None
        for valid in incoming if post is None else post.messages:
            packed = pack(valid.ttl, client, valid.dead_letter, valid.record, valid.key)
            arguments += (post_options(valid), packed)
        posted = self._writer.post(queue, project, arguments, incarnation, transient=transient, unique=post is not None)
        if posted.ids is None:
            raise QueueDoesNotExist(queue, project)
        if posted.has_dead:
            self._dead_letters.dead_letter_some((project, queue))
        ids = codec.hex_ids(posted.ids)
        return ids if post is None else _with_present(post, ids, posted.displaced)

    def list(
        self,
        queue: str,
        project: Project = None,
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        echo: bool = False,
        client_uuid: object = None,
        include_claimed: bool = False,
        include_delayed: bool = False,
    ) -> Iterator[Any]:
        after = codec.parse_id(marker) if marker else b""
        if after is None:
            return iter(([], ""))
        hidden = "" if echo or client_uuid is None else escape_surrogates(str(client_uuid))
        with_states = (int(include_claimed), int(include_delayed))
        keys = self._store.keys(project, queue)
        found = self._store.run(_PAGE, keys, after, limit, hidden, *with_states)
        if found is None:
            return iter(([], ""))
        ids, *parts = found
        messages = codec.to_messages(parts, codec.split_ids(ids))
        messages = sorted(messages, key=lambda message: message["id"])[: limit or None]
        return iter((messages, messages[-1]["id"] if messages else ""))

    def first(self, queue: str, project: Project = None, sort: int = 1) -> Message:
        check_sort(sort)
        while True:
            found = self._store.run(_FIRST, self._store.keys(project, queue), sort)
            if found is None:
                raise QueueDoesNotExist(queue, project)
            if not found:
                raise QueueIsEmpty(queue, project)
            # It may be gone by now; then another one is the first.
            if messages := self._read(queue, [found.hex()], project):
                return messages[0]

    def bulk_get(self, queue: str, message_ids: Iterable[str], project: Project = None) -> Iterator[Message]:
        return iter(self._read(queue, message_ids, project) or ())

    def _read(self, queue: str, message_ids: Iterable[str], project: Project) -> Sequence[Message] | None:
        ids = codec.parse_ids(list(message_ids))
        found = self._store.run(_GET_MANY, self._store.keys(project, queue), b"".join(ids))
        return None if found is None else codec.to_messages(found, ids)

    def delete(self, queue: str, message_id: str, project: Project = None, claim: str | None = None) -> None:
        message, holder = codec.parse_id(message_id), b"" if claim is None else codec.parse_id(claim)
        keys = self._store.keys(project, queue)
        if holder is None:
            if self._client.command("EXISTS", keys.queue):
                raise ClaimDoesNotExist(claim, queue, project)
            return
        if message is None:
            return
        reply = self._store.run(_DELETE, keys, message, holder)
        if isinstance(reply, bytes):
            raise _refusal(reply, message_id, claim, queue, project)

    def bulk_delete(
        self, queue: str, message_ids: Iterable[str], project: Project = None, claim_ids: Sequence[str] | None = None
    ) -> None:
        ids = codec.parse_ids(list(message_ids))
        claims = _ANY_STATE if claim_ids is None else b"".join(codec.parse_ids(claim_ids))
        reply = self._store.run(_DELETE_MANY, self._store.keys(project, queue), b"".join(ids), claims)
        if isinstance(reply, list):
            message, *holder = (part.hex() for part in reply)
            raise ClaimDoesNotMatch(holder[0], queue, project) if holder else MessageNotClaimed(message)

    def pop(self, queue: str, limit: int, project: Project = None) -> Sequence[Message]:
        return self._claimer.pop(queue, limit, project)

    def delete_claimed(
        self, queue: str, held: Sequence[tuple[str, str]], project: Project = None
    ) -> Sequence[tuple[str, str]]:
        pairs = ClaimedPairs(held)
        if not pairs.arguments:
            return list(held)
        keys = self._store.keys(project, queue).acking
        return pairs.refused(self._client.call(ACK, keys, self._store.now(), *pairs.arguments))

    def reject(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        project: Project = None,
        *,
        reason: str = DeadLetterReason.REJECTED,
    ) -> Sequence[tuple[str, str]]:
        pairs = ClaimedPairs(held)
        reply = None
        if pairs.arguments:
            keys = self._store.keys(project, queue).dead_lettering
            reply = self._store.run_dead_lettering(_REJECT, keys, reason, *pairs.arguments)
        if reply is None:
            return list(held)
        has_dead, *refused = reply
        if has_dead:
            self._dead_letters.dead_letter_some((project, queue))
        return pairs.refused(refused)

    def delayed_ids(self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT) -> Sequence[str]:
        ids = self._store.run(_DELAYED, self._store.keys(project, queue), limit)
        return codec.hex_ids(ids or b"")

    def purge(self, queue: str, project: Project = None) -> int:
        return int(self._store.run(_PURGE, self._store.keys(project, queue)) or 0)

    def due_times(
        self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT
    ) -> Sequence[tuple[str, float | None]]:
        return due_times(self._store, self._store.keys(project, queue), limit)

    def count_many(
        self, queues: Sequence[tuple[Project, str]], limit: int = MAX_COUNTED
    ) -> Sequence[QueueCounts | None]:
        return count_many(self._store, queues)

    def find(self, key: str, queue: str | None = None, project: Project = None) -> KeyResult:
        return self._keyed.find(key, list(self._named(key, queue, project)), project)

    def cancel(self, key: str, queue: str | None = None, project: Project = None) -> KeyResult:
        return self._keyed.cancel(key, list(self._named(key, queue, project)), project)

    def change(
        self,
        key: str,
        due: float | None = None,
        priority: int | None = None,
        queue: str | None = None,
        project: Project = None,
    ) -> KeyResult:
        check_change(due, priority)
        return self._keyed.change(key, due, priority, list(self._named(key, queue, project)), project)

    def count(self, queue: str, project: Project = None) -> int:
        counts = self._store.run(_COUNT, self._store.keys(project, queue))
        return 0 if counts is None else int(counts[0])


def _with_present(post: UniquePost, ids: Sequence[str], displaced: Sequence[Any]) -> Sequence[str]:
    """Return the ids of a post of unique messages; ``displaced`` has places and keys."""
    present: list[str | None] = [None] * len(ids)
    for place, key in zip(displaced[::2], displaced[1::2], strict=True):
        present[place - 1] = PresentId.of(ids[place - 1], key.decode() or None)
    post.drop(present)
    return post.ids([message_id for message_id, held in zip(ids, present, strict=True) if held is None])


def _refusal(reason: bytes, message_id: str, claim: str | None, queue: str, project: Project) -> Exception:
    if reason == b"claimed":
        return MessageIsClaimed(message_id)
    if reason == b"unclaimed":
        return MessageNotClaimed(message_id)
    if reason == b"claimed by another":
        return MessageNotClaimedBy(message_id, claim)
    return ClaimDoesNotExist(claim, queue, project)
