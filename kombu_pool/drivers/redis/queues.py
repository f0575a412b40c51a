"""The controller of the queues of a message store."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.queue_stats import queue_stats
from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.keys import name_bytes, name_of, project_key
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import IncarnationConflict, QueueDoesNotExist, StoreFull
from kombu_pool.model import NO_INCARNATION
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import QueueController as Contract
from kombu_pool.storage.moving import is_sealed
from kombu_pool.storage.policy import policy_of, read, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kombu_pool.drivers.redis.keys import KeySets
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import Metadata, Project
    from kombu_pool.storage.policy import Policy

_CREATE = script("create")
#: No post may be stored after a seal, also on a replica that becomes the master.
_SEAL = _CREATE._replace(replicated=True)
_DROP_QUEUE = script("drop_queue", repeatable=True)
_SET_METADATA = script("set_metadata", repeatable=True)
_PAUSE = script("pause", repeatable=True)
_COUNT = script("count", repeatable=True)
_OLDEST_AND_NEWEST = script("oldest_and_newest", repeatable=True)
#: Bits of the random number before a queue's first message: a queue that is created again must not reuse ids.
FIRST_NUMBER_BITS = 48
#: Added to that number, so that messages that moved into the queue come before those that are posted.
_FIRST_POSTED = 2**52
#: Bytes of the random token by which watches tell one deletion from another.
_DELETION_BYTES = 8
#: Queues or messages that are read in one round trip.
_PAGE_SIZE = 500


class QueueController(Contract):
    """Queues as a hash each, and an index of all of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._client = store.client

    def list(
        self,
        project: Project = None,
        kfilter: Mapping[str, Any] = {},
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        detailed: bool = False,
        name: str | None = None,
    ) -> Iterator[Any]:
        matching: list[dict[str, Any]] = []
        for found, metadata in self._existing(project, marker, name or ""):
            given = read(metadata) if kfilter or detailed else {}
            if all(key in given and given[key] == value for key, value in kfilter.items()):
                matching.append({"name": found, "metadata": given} if detailed else {"name": found})
                if len(matching) == limit:
                    break
        return page(matching, lambda item: str(item["name"]))

    def _existing(self, project: Project, marker: str | None, part: str) -> Iterator[tuple[str, bytes]]:
        """Yield the queues that exist, by name; the index may have entries of queues that do not."""
        head = project_key(project).encode() + b"/"
        after = b"(" + head + name_bytes(marker) if marker else b"[" + head
        beyond = b"(" + head[:-1] + b"0"  # the byte after the slash
        while True:
            members = self._client.command("ZRANGEBYLEX", self._store.index, after, beyond, "LIMIT", 0, _PAGE_SIZE)
            found = [name_of(member[len(head) :]) for member in members]
            found = [queue for queue in found if part in queue]
            metadata = self._client.commands(
                [("HGET", self._store.keys(project, queue).queue, "metadata") for queue in found]
            )
            yield from ((queue, one) for queue, one in zip(found, metadata, strict=True) if one is not None)
            if len(members) < _PAGE_SIZE:
                return
            after = b"(" + members[-1]

    def get(self, name: str, project: Project = None) -> Metadata:
        return read(self._metadata(name, project))

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        keys, written = self._store.keys(project, name), write(metadata)
        entries = self._dead_index_entries(keys, written)
        self._client.commands(entries)
        if not self._client.call(_SET_METADATA, (keys.queue,), *_fields(written)):
            raise QueueDoesNotExist(name, project)
        # Again: in between, dead_letter_all may have found nothing there and removed the entry.
        self._client.commands(entries)

    def create(
        self,
        name: str,
        metadata: Metadata | None = None,
        project: Project = None,
        *,
        incarnation: str | None = None,
        replaces: str | None = None,
    ) -> bool:
        written, keys = write(metadata or {}), self._store.keys(project, name)
        wanted = codec.pack_incarnation(incarnation or NO_INCARNATION)
        replaced = codec.pack_incarnation(None if incarnation is None else replaces)
        present = self._client.command("HGET", keys.queue, "incarnation")
        if present is None or present == replaced:
            entries, seals = self._index_entries(keys, project, name, written), is_sealed(incarnation or NO_INCARNATION)
            first = _FIRST_POSTED + secrets.randbits(FIRST_NUMBER_BITS)
            self._add_entries(entries, seals=seals)
            create = _SEAL if seals else _CREATE
            present = self._client.call(create, (keys.queue,), first, wanted, replaced, *_fields(written))
            if present == 1:
                # Written before the queue, as one without an entry is never listed or collected if this process dies;
                # and after it, as a deletion in between has removed the entry. An entry without a queue does no harm.
                self._add_entries(entries, seals=seals)
                return True
        if incarnation is None or present == wanted:
            return False
        raise IncarnationConflict(name, project, codec.unpack_incarnation(present))

    def _add_entries(self, entries: Sequence[tuple[Any, ...]], *, seals: bool) -> None:
        # A queue that is sealed has its entries; a full Redis, which refuses to add them, must not keep it.
        with suppress(*((StoreFull,) if seals else ())):
            self._client.commands(entries)

    def _index_entries(
        self, keys: KeySets, project: Project, name: str, metadata: bytes
    ) -> tuple[tuple[Any, ...], ...]:
        entry = ("ZADD", self._store.index, 0, _index_entry(project, name))
        return entry, *self._dead_index_entries(keys, metadata)

    def _dead_index_entries(self, keys: KeySets, metadata: bytes) -> tuple[tuple[Any, ...], ...]:
        """Return the commands that make dead_letter_all check a queue of that metadata; scripts set its time then."""
        return (("ZADD", self._store.queues_with_dead, 0, keys.queue),) if policy_of(metadata).has_dlq else ()

    def exists(self, name: str, project: Project = None) -> bool:
        return bool(self._client.command("EXISTS", self._store.keys(project, name).queue))

    def delete(self, name: str, project: Project = None, *, incarnation: str | None = None) -> None:
        keys, entry = self._store.keys(project, name), _index_entry(project, name)
        given = (*keys.every, *(() if self._client.is_cluster else (self._store.index, self._store.queues_with_dead)))
        token = secrets.token_bytes(_DELETION_BYTES)
        is_gone = self._client.call(_DROP_QUEUE, given, codec.pack_incarnation(incarnation), entry, token)
        if is_gone and self._client.is_cluster:
            self._delete_index_entries(keys, project, name)

    def _delete_index_entries(self, keys: KeySets, project: Project, name: str) -> None:
        """Delete the entries of a queue that does not exist, which no script of its node could delete."""
        store = self._store
        self._client.commands(
            [("ZREM", store.index, _index_entry(project, name)), ("ZREM", store.queues_with_dead, keys.queue)]
        )
        metadata = self._client.command("HGET", keys.queue, "metadata")
        if metadata is not None:
            # Created in between, and its entries may have been deleted.
            self._client.commands(self._index_entries(keys, project, name, metadata))

    def pause(self, name: str, project: Project = None) -> None:
        self._set_paused(name, project, "1")

    def resume(self, name: str, project: Project = None) -> None:
        self._set_paused(name, project, "")

    def _set_paused(self, name: str, project: Project, paused: str) -> None:
        keys = self._store.keys(project, name)
        given = (keys.queue,) if self._client.is_cluster else (keys.queue, keys.wakeup)
        if not self._client.call(_PAUSE, given, paused):
            raise QueueDoesNotExist(name, project)

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        keys = self._store.keys(project, name)
        counts = self._store.run(_COUNT, keys)
        if counts is None:
            raise QueueDoesNotExist(name, project)
        free, delayed, claimed, now, paused = counts
        found = self._client.call(_OLDEST_AND_NEWEST, (keys.free, keys.claimed))
        ids = sorted({*found, *self._delayed(keys)}, key=_number)
        ends = [end for message in ids[:1] + ids[-1:] for end in self._posted(keys, message)]
        return queue_stats(claimed, free + delayed, ends, float(now), paused=bool(paused))

    def _delayed(self, keys: KeySets) -> Iterator[bytes]:
        """Yield the first and the last message of each page of delayed messages, which are sorted by time."""
        start = 0
        while ids := self._client.command("ZRANGE", keys.delayed, start, start + _PAGE_SIZE - 1):
            yield min(ids, key=_number)
            yield max(ids, key=_number)
            start += _PAGE_SIZE

    def _posted(self, keys: KeySets, message: bytes) -> Iterator[tuple[str, float]]:
        """Yield a message's id and the time of its post, unless it is gone by now."""
        stored = self._client.command("HGET", keys.records, message)
        if stored is not None:
            yield message.hex(), codec.unpack(stored).created

    def calculate_resource_count(self, project: Project = None) -> int:
        head = project_key(project).encode()
        return int(self._client.command("ZLEXCOUNT", self._store.index, b"[" + head + b"/", b"(" + head + b"0"))

    def _metadata(self, name: str, project: Project) -> bytes:
        found: bytes | None = self._client.command("HGET", self._store.keys(project, name).queue, "metadata")
        if found is None:
            raise QueueDoesNotExist(name, project)
        return found


def _fields(metadata: bytes) -> list[Any]:
    """Return the fields of a queue's hash that come from its metadata; scripts read all but the first."""
    policy = policy_of(metadata)
    return [
        *("metadata", metadata),
        *(("ttl", policy.ttl) if policy.ttl else ()),
        *(("delay", policy.delay) if policy.delay else ()),
        *(("max_claim_count", policy.max_claim_count) if policy.max_claim_count else ()),
        *(("has_dlq", 1) if policy.has_dlq else ()),
        *(("bounded", _bounds_field(policy)) if policy.is_bounded or policy.expires_to_dlq else ()),
    ]


def _bounds_field(policy: Policy) -> str:
    """Return the policy of a bounded queue as scripts read it."""
    return f"{policy.expires_to_dlq:d}:{policy.rejects_overflow:d}:{policy.max_length}:{policy.max_length_bytes}"


def _index_entry(project: Project, name: str) -> bytes:
    return project_key(project).encode() + b"/" + name_bytes(name)


def _number(message: bytes) -> bytes:
    return message[1:]
