"""Messages: posting, reading, deleting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.codec import asked, pack
from kombu_pool.drivers.redis.deletion import ACK, Acknowledgement
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import (
    ClaimDoesNotExist,
    ClaimDoesNotMatch,
    MessageDoesNotExist,
    MessageIsClaimed,
    MessageNotClaimed,
    MessageNotClaimedBy,
    QueueDoesNotExist,
    QueueIsEmpty,
)
from kombu_pool.storage import DEFAULT_LIMIT
from kombu_pool.storage import MessageController as Contract
from kombu_pool.storage.validation import validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kombu_pool.drivers.redis.burying import Burying
    from kombu_pool.drivers.redis.claiming import Lender
    from kombu_pool.drivers.redis.posting import Poster
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import IdempotencyKey, Message, NewMessage, Project

_READ = script("get_many", repeatable=True, writes=False)
_PAGE = script("page", repeatable=True, writes=False)
_FIRST = script("first", repeatable=True, writes=False)
_COUNT = script("count", repeatable=True, writes=False)
_REJECT = script("reject", writes=False)
_DELETE = script("delete", repeatable=True)
_DISCARD = script("delete_many", repeatable=True)
_PURGE = script("purge")
_WHATEVER_STATE = b"-"


class MessageController(Contract):
    """Messages in hashes, their states in sorted sets."""

    def __init__(self, store: Store, poster: Poster, lender: Lender, burying: Burying, max_message_size: int) -> None:
        self._store = store
        self._link = store.link
        self._poster = poster
        self._lender = lender
        self._burying = burying
        self._limit = max_message_size

    def post(
        self,
        queue: str,
        messages: Iterable[NewMessage],
        client_uuid: object,
        project: Project = None,
        *,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Sequence[str]:
        client = None if client_uuid is None else codec.storable(str(client_uuid))
        arguments: list[Any] = [*codec.pack_ticket(idempotency_key)]
        for message in messages:
            incoming = validate(message, self._limit)
            arguments += (asked(incoming), pack(incoming.ttl, client, incoming.dead_letter, incoming.record))
        if len(arguments) == len(codec.NO_TICKET):
            return []
        ids, to_bury = self._poster.post(queue, project, arguments)
        if ids is None:
            raise QueueDoesNotExist(queue, project)
        if to_bury:
            self._burying.bury_besides(queue, project)
        return codec.names(ids)

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
        after = codec.id_of(marker) if marker else b""
        if after is None:
            return iter(([], ""))
        hidden = "" if echo or client_uuid is None else codec.storable(str(client_uuid))
        with_states = (int(include_claimed), int(include_delayed))
        keys = self._store.keys(project, queue)
        found = self._store.run(_PAGE, keys, after, limit, hidden, *with_states)
        if found is None:
            return iter(([], ""))
        ids, *parts = found
        views = sorted(codec.read(parts, codec.split(ids)), key=lambda view: view["id"])[: limit or None]
        return iter((views, views[-1]["id"] if views else ""))

    def get(self, queue: str, message_id: str, project: Project = None) -> Message:
        found = self._read(queue, [message_id], project)
        if found is None:
            raise QueueDoesNotExist(queue, project)
        if not found:
            raise MessageDoesNotExist(message_id, queue, project)
        return found[0]

    def first(self, queue: str, project: Project = None, sort: int = 1) -> Message:
        if sort not in {1, -1}:
            raise ValueError(f"sort is 1 for the first message or -1 for the last, not {sort!r}")
        while True:
            found = self._store.run(_FIRST, self._store.keys(project, queue), sort)
            if found is None:
                raise QueueDoesNotExist(queue, project)
            if not found:
                raise QueueIsEmpty(queue, project)
            # It may be gone by the next question; then another one is the first.
            if views := self._read(queue, [found.hex()], project):
                return views[0]

    def bulk_get(self, queue: str, message_ids: Iterable[str], project: Project = None) -> Sequence[Message]:
        return self._read(queue, message_ids, project) or []

    def _read(self, queue: str, message_ids: Iterable[str], project: Project) -> Sequence[Message] | None:
        ids = codec.ids_of(list(message_ids))
        found = self._store.run(_READ, self._store.keys(project, queue), b"".join(ids))
        return None if found is None else codec.read(found, ids)

    def delete(self, queue: str, message_id: str, project: Project = None, claim: str | None = None) -> None:
        message, holder = codec.id_of(message_id), b"" if claim is None else codec.id_of(claim)
        keys = self._store.keys(project, queue)
        if holder is None:
            if self._link.command("EXISTS", keys.queue):
                raise ClaimDoesNotExist(claim, queue, project)
            return
        if message is None:
            return
        answer = self._store.run(_DELETE, keys, message, holder)
        if isinstance(answer, bytes):
            raise _refusal(answer, message_id, claim, queue, project)

    def bulk_delete(
        self, queue: str, message_ids: Iterable[str], project: Project = None, claim_ids: Sequence[str] | None = None
    ) -> None:
        ids = codec.ids_of(list(message_ids))
        claims = _WHATEVER_STATE if claim_ids is None else b"".join(codec.ids_of(claim_ids))
        answer = self._store.run(_DISCARD, self._store.keys(project, queue), b"".join(ids), claims)
        if isinstance(answer, list):
            message, *holder = (part.hex() for part in answer)
            raise ClaimDoesNotMatch(holder[0], queue, project) if holder else MessageNotClaimed(message)

    def pop(self, queue: str, limit: int, project: Project = None) -> Sequence[Message]:
        return self._lender.pop(queue, limit, project)

    def delete_claimed(
        self, queue: str, held: Sequence[tuple[str, str]], project: Project = None
    ) -> Sequence[tuple[str, str]]:
        done = Acknowledgement(held)
        if not done.arguments:
            return list(held)
        keys = self._store.keys(project, queue).acking
        return done.refused(self._link.call(ACK, keys, self._store.now(), *done.arguments))

    def reject(self, queue: str, held: Sequence[tuple[str, str]], project: Project = None) -> Sequence[tuple[str, str]]:
        done = Acknowledgement(held)
        answer = None
        if done.arguments:
            answer = self._store.run_mourning(_REJECT, self._store.keys(project, queue).dead_lettering, *done.arguments)
        if answer is None:
            return list(held)
        to_bury, *left = answer
        if to_bury:
            self._burying.bury_besides(queue, project)
        return done.refused(left)

    def purge(self, queue: str, project: Project = None) -> int:
        return int(self._store.run(_PURGE, self._store.keys(project, queue)) or 0)

    def count(self, queue: str, project: Project = None) -> int:
        counts = self._store.run(_COUNT, self._store.keys(project, queue))
        return 0 if counts is None else int(counts[0])


def _refusal(why: bytes, message_id: str, claim: str | None, queue: str, project: Project) -> Exception:
    if why == b"claimed":
        return MessageIsClaimed(message_id)
    if why == b"unclaimed":
        return MessageNotClaimed(message_id)
    if why == b"claimed by another":
        return MessageNotClaimedBy(message_id, claim)
    return ClaimDoesNotExist(claim, queue, project)
