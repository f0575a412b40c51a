"""Moves of queues out of a Redis, and into it."""

from __future__ import annotations

import secrets
import struct
from typing import TYPE_CHECKING, Any, cast

import msgspec

from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.queues import FIRST_NUMBER_BITS
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.drivers.redis.store import RUN_AGAIN, TAKE_DEAD
from kombu_pool.errors import CorruptRecord, MoveSuperseded, QueueDoesNotExist
from kombu_pool.model import PresentId
from kombu_pool.moves import MovedMessage
from kombu_pool.storage.moving import BATCH_SIZE
from kombu_pool.storage.moving import MoveController as Contract

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from kombu_pool.drivers.redis.keys import KeySets
    from kombu_pool.drivers.redis.scripts import Script
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import IdempotencyKey, Project

# What one of them did must outlast a failover as a post does, else a batch would be given or stored again.
_SET_EPOCH = script("moves/set_epoch", repeatable=True, replicated=True)
_STORE = script("moves/store", repeatable=True, replicated=True)
_TAKE = script("moves/take", repeatable=True, replicated=True)
_REMOVE = script("moves/remove", repeatable=True, replicated=True)
_REMAINING = script("moves/remaining", repeatable=True)
_COMPLETED_POST = script("moves/completed_post", repeatable=True)
_UNIQUE_HOLDER = script("moves/unique_holder", repeatable=True)
#: Replies of scripts: there is no queue; it bears another incarnation; it has another epoch.
_ABSENT, _ANOTHER, _SUPERSEDED = b"absent", b"another", b"superseded"
#: Fields of a queue's hash that one command reads; Redis serves no other client meanwhile.
_PAGE_SIZE = 1000
_HOLD = struct.Struct(">dc")


class MoveController(Contract):
    """Moves messages, each step in one script; those that are put aside are in a hash of their queue."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._client = store.client

    def set_epoch(self, queue: str, project: Project = None, *, incarnation: str, epoch: int) -> Sequence[str]:
        keys = (self._store.keys(project, queue).queue,)
        reply = self._client.call(_SET_EPOCH, keys, codec.pack_incarnation(incarnation), epoch)
        _require(reply, queue, project)
        return msgspec.msgpack.decode(reply, type=list[str]) if reply else []

    def store(
        self, queue: str, messages: Sequence[MovedMessage], project: Project = None, *, incarnation: str, epoch: int
    ) -> None:
        keys, first = self._store.keys(project, queue).dead_lettering, secrets.randbits(FIRST_NUMBER_BITS)
        batch = msgspec.msgpack.encode([message.id for message in messages])
        parts = [part for message in messages for part in (_options(message), codec.pack_moved(message))]
        given = (codec.pack_incarnation(incarnation), epoch, first, batch, *parts)
        _require(self._client.call(_STORE, keys, self._store.now(), *given), queue, project)

    def take(
        self, queue: str, project: Project = None, limit: int = BATCH_SIZE, *, incarnation: str, delayed: bool = False
    ) -> Sequence[MovedMessage]:
        given = (codec.pack_incarnation(incarnation), limit, int(delayed))
        aside = self._run(_TAKE, self._store.keys(project, queue), *given)
        if aside == _ABSENT:
            return []
        _require(aside, queue, project)
        found = [pair for pair in zip(aside[::2], aside[1::2], strict=True) if len(pair[0]) == codec.ID_BYTES]
        return [message for _, message in sorted((_to_moved(*pair) for pair in found), key=lambda placed: placed[0])]

    def remove(self, queue: str, message_ids: Collection[str], project: Project = None, *, incarnation: str) -> None:
        keys, ids = self._store.keys(project, queue), b"".join(codec.parse_ids([*message_ids]))
        if not self._client.call(_REMOVE, (keys.queue, keys.aside), codec.pack_incarnation(incarnation), ids):
            raise QueueDoesNotExist(queue, project)

    def remaining(self, queue: str, project: Project = None, *, incarnation: str) -> int:
        keys = self._store.keys(project, queue)
        reply = self._run(_REMAINING, keys, codec.pack_incarnation(incarnation))
        if reply == _ABSENT:
            return 0
        _require(reply, queue, project)
        count, now = reply
        return int(count) or sum(1 for end in self._timed_holds(keys.queue) if end > float(now))

    def _timed_holds(self, queue: bytes) -> Iterator[float]:
        """Yield the ends of the unique ids that are held for a time."""
        cursor = b"0"
        while True:
            cursor, fields = self._client.command("HSCAN", queue, cursor, "MATCH", b"~*", "COUNT", _PAGE_SIZE)
            for stored in fields[1::2]:
                end, scope = _HOLD.unpack_from(stored)
                if scope == b"s":
                    yield end
            if cursor == b"0":
                return

    def completed_post(
        self, queue: str, idempotency_key: IdempotencyKey, project: Project = None
    ) -> Sequence[str] | None:
        given = codec.pack_idempotency_key(idempotency_key)
        kept = self._client.call(_COMPLETED_POST, (self._store.keys(project, queue).queue,), *given)
        return None if kept is None else codec.unpack_posted(kept)

    def unique_holder(self, queue: str, unique_id: str, project: Project = None) -> PresentId | None:
        found = self._run(_UNIQUE_HOLDER, self._store.keys(project, queue), unique_id)
        return None if found is None else PresentId.of(found[0].hex(), found[1].decode() or None)

    def _run(self, script: Script, keys: KeySets, *args: Any) -> Any:
        """Run a script that advances the states of its queue first, as often as that takes."""
        while (reply := self._client.call(script, keys.moving, self._store.now(), *args)) in RUN_AGAIN:
            if reply == TAKE_DEAD:
                self._store.mark_expired_dead(keys)
        return reply


def _require(reply: Any, queue: str, project: Project) -> None:
    """Raise what the reply of a script says."""
    if reply is None or reply == _ANOTHER:
        raise QueueDoesNotExist(queue, project)
    if reply == _SUPERSEDED:
        raise MoveSuperseded(queue, project)


def _options(message: MovedMessage) -> str:
    """Return priority, expiry, due time, claim count and unique id as the script that stores the message takes them."""
    expires, due = ("" if time is None else repr(time) for time in (message.expires, message.due))
    unique = "" if message.unique is None else f"{'w' if message.unique[1] else 'u'}{message.unique[0]}"
    return f"{message.priority}:{expires}:{due}:{message.claim_count}:{unique}"


def _to_moved(message_id: bytes, aside: bytes) -> tuple[int, MovedMessage]:
    """Return the place of a message among those that are put aside, and the message."""
    place, count, expires, due, scope, length, rest = aside.split(b":", 6)
    unique, stored = rest[: int(length)], rest[int(length) :]
    try:
        record = codec.unpack(stored)
    except CorruptRecord:
        record = codec.Record(0.0, 0.0, None, None, None, stored)
    return int(place), MovedMessage(
        id=message_id.hex(),
        record=record.body,
        created=record.created,
        ttl=record.ttl,
        priority=255 - message_id[0],
        expires=float(expires) if expires else None,
        due=float(due) if due else None,
        claim_count=int(count),
        key=record.key,
        client=record.client,
        dead_letter=cast("dict[str, Any] | None", record.dead_letter),
        unique=(unique.decode(), scope == b"w") if scope else None,
    )
